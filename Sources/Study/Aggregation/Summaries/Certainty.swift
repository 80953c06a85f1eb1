/// What is said of how sure the averages of a place are.
public struct Certainty: Equatable, Sendable {
  /// Independent ones that went in.
  public let units: Int
  /// The largest |average|: where it stands, its value, and its standard error where there are two units.
  public let largestIndex: Int?
  public let largest: Double?
  public let standardError: Double?
  public let reliability: Reliability?

  /// Fewer are said: their standard errors are rough themselves.
  public static let enoughUnits = 20

  public init(
    units: Int, largestIndex: Int?, largest: Double?, standardError: Double?, reliability: Reliability?
  ) {
    self.units = units
    self.largestIndex = largestIndex
    self.largest = largest
    self.standardError = standardError
    self.reliability = reliability
  }

  public init(_ estimate: Estimate) {
    let index = indicesOfLargestMagnitudes(estimate.average, count: 1).first
    self.init(
      units: estimate.units, largestIndex: index, largest: index.map { estimate.average[$0] },
      standardError: index.flatMap { index in estimate.standardError.map { $0[index] } },
      reliability: estimate.reliability)
  }
}
