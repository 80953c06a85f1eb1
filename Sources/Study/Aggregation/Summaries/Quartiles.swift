/// Where a half and the middle half of a place's finite values lie.
public struct Quartiles: Equatable, Sendable {
  public let lower: Double
  public let median: Double
  public let upper: Double

  /// As `numpy.percentile` has them: between two values by how near each is. Nil where no value is finite.
  public init?(_ values: [Double]) {
    let sorted = values.filter(\.isFinite).sorted()
    guard !sorted.isEmpty else { return nil }
    func value(at share: Double) -> Double {
      let position = share * Double(sorted.count - 1)
      let below = Int(position)
      let above = min(below + 1, sorted.count - 1)
      let weight = position - Double(below)
      // Neither of two values is lost beside a difference that overflows.
      return sorted[below] * (1 - weight) + sorted[above] * weight
    }
    (lower, median, upper) = (value(at: 0.25), value(at: 0.5), value(at: 0.75))
  }
}
