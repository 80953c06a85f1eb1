/// Counts in bins of equal width, the last of which includes its right edge: what `numpy.histogram` gives.
public struct Histogram: Equatable, Sendable {
  /// One more than there are counts, ascending.
  public let edges: [Double]
  public let counts: [Int]

  /// - Parameters:
  ///   - values: those that are not finite, or lie outside `range`, are not counted.
  ///   - range: the first and the last edge; by default the least and the greatest finite value, and half a unit to
  ///     each side of it where all are one (or where there is none, of 0).
  ///   - areFloat32: what numpy would have the values in. It computes the edges in the array's own type, so that a
  ///     value at an edge falls where float32 rounding puts the edge.
  public init(
    _ values: [Double], bins: Int, range: ClosedRange<Double>? = nil, areFloat32: Bool = false
  ) {
    precondition(bins > 0)
    let range = range ?? Self.range(of: values)
    var edges = Self.edges(of: range, bins: bins, areFloat32: areFloat32)
    // Two neighbouring float32 values cannot hold a hundred float32 edges between them, nor does float32 hold the
    // difference of its two largest ones.
    if areFloat32, !zip(edges, edges.dropFirst()).allSatisfy({ $0 < $1 }) {
      edges = Self.edges(of: range, bins: bins, areFloat32: false)
    }
    var counts = [Int](repeating: 0, count: bins)
    let (first, last) = (edges[0], edges[bins])
    let halfWidth = last / 2 - first / 2
    for value in values where value >= first && value <= last {
      let position = (value / 2 - first / 2) / halfWidth * Double(bins)
      var bin = position < Double(bins) ? Int(position) : bins - 1
      // The position can be off by a rounding error beside an edge; the edges decide.
      while bin > 0, value < edges[bin] { bin -= 1 }
      while bin < bins - 1, value >= edges[bin + 1] { bin += 1 }
      counts[bin] += 1
    }
    self.edges = edges
    self.counts = counts
  }

  private static func range(of values: [Double]) -> ClosedRange<Double> {
    var (low, high) = (Double.infinity, -Double.infinity)
    for value in values where value.isFinite {
      low = min(low, value)
      high = max(high, value)
    }
    guard low <= high else { return 0...1 }
    return low < high ? low...high : (low - 0.5)...(high + 0.5)
  }

  /// numpy.linspace: start + i·step, each operation rounded to the type, and the last edge as it was given.
  private static func edges(of range: ClosedRange<Double>, bins: Int, areFloat32: Bool) -> [Double] {
    func spaced<Value: BinaryFloatingPoint>(_ start: Value, _ stop: Value) -> [Double] {
      let width = stop - start
      guard width.isFinite else {
        // Beyond numpy, which refuses such a range.
        return (0...bins).map { Double(start * (1 - Value($0) / Value(bins)) + stop * (Value($0) / Value(bins))) }
      }
      return (0..<bins).map { Double(Value($0) * (width / Value(bins)) + start) } + [Double(stop)]
    }
    return areFloat32
      ? spaced(Float(range.lowerBound), Float(range.upperBound)) : spaced(range.lowerBound, range.upperBound)
  }
}
