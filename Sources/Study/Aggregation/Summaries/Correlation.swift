/// Pearson's correlation; nil where either has no variance, a number that is none, or fewer than two values.
public func correlation(_ x: [Double], _ y: [Double]) -> Double? {
  precondition(x.count == y.count)
  guard x.count > 1 else { return nil }
  let (meanX, meanY) = (x.reduce(0, +) / Double(x.count), y.reduce(0, +) / Double(y.count))
  var (xx, yy, xy) = (0.0, 0.0, 0.0)
  for (a, b) in zip(x, y) {
    xx += (a - meanX) * (a - meanX)
    yy += (b - meanY) * (b - meanY)
    xy += (a - meanX) * (b - meanY)
  }
  let result = xy / (xx.squareRoot() * yy.squareRoot())
  // Rounding can lead a little beyond ±1.
  return result.isFinite ? max(-1, min(1, result)) : nil
}

/// Spearman's: Pearson's correlation of the ranks, of which equal values share their mean.
public func rankCorrelation(_ x: [Double], _ y: [Double]) -> Double? {
  guard (x + y).allSatisfy(\.isFinite) else { return nil }
  return correlation(ranks(x), ranks(y))
}

private func ranks(_ values: [Double]) -> [Double] {
  let order = values.indices.sorted { values[$0] < values[$1] }
  var ranks = [Double](repeating: 0, count: values.count)
  var first = 0
  while first < order.count {
    var end = first + 1
    while end < order.count, values[order[end]] == values[order[first]] { end += 1 }
    for place in first..<end { ranks[order[place]] = Double(first + end - 1) / 2 }
    first = end
  }
  return ranks
}
