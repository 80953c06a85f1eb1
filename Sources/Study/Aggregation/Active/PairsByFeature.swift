/// Pairs of an active feature and a position, feature by feature, those of one feature in the order of their positions.
struct PairsByFeature {
  /// Where the pairs of each feature begin, and where those of the last end, [F + 1].
  private let starts: [Int32]
  /// Each pair's position, and the value of the feature there.
  let positions: [Int32]
  let values: [Float]
  /// Value times gradient, where gradients are given.
  let attributions: [Double]

  var features: Range<Int> { 0..<starts.count - 1 }

  /// Where the pairs of these features are, which follow one another.
  @inline(__always)
  func range(_ features: Range<Int>) -> Range<Int> {
    Int(starts[features.lowerBound])..<Int(starts[features.upperBound])
  }

  @inline(__always)
  func range(_ feature: Int) -> Range<Int> { range(feature..<feature + 1) }

  /// - Parameters:
  ///   - gradients: ∂L/∂f of each gathered pair.
  ///   - features: how many there are.
  init(_ gathered: GatheredPositions, gradients: [Double]?, features count: Int) {
    let pairs = gathered.pairCount
    precondition(pairs <= Int(Int32.max) && gradients?.count ?? pairs == pairs)
    // Where the next pair of each feature goes, which in the end is where the next feature's pairs begin.
    var next = [Int32](repeating: 0, count: count + 1)
    for feature in gathered.features { next[Int(feature) + 1] += 1 }
    for feature in 0..<count { next[feature + 1] += next[feature] }
    starts = next
    var positions = [Int32](repeating: 0, count: pairs)
    var values = [Float](repeating: 0, count: pairs)
    var attributions = [Double](repeating: 0, count: gradients == nil ? 0 : pairs)
    for position in 0..<gathered.count {
      for pair in gathered.starts[position]..<gathered.starts[position + 1] {
        let feature = Int(gathered.features[pair])
        let (place, value) = (Int(next[feature]), gathered.values[pair])
        next[feature] += 1
        (positions[place], values[place]) = (Int32(position), value)
        if let gradients { attributions[place] = Double(value) * gradients[pair] }
      }
    }
    (self.positions, self.values, self.attributions) = (positions, values, attributions)
  }
}
