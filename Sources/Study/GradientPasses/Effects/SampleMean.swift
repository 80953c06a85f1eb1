/// The mean of a number over samples and its standard error, in one go by Welford's update, which does not cancel.
public struct SampleMean: Sendable {
  public private(set) var count = 0
  public private(set) var mean = 0.0
  /// Σ (y − mean)²
  private var squares = 0.0

  public init() {}

  public mutating func add(_ value: Double) {
    count += 1
    let deviation = value - mean
    mean += deviation / Double(count)
    squares += deviation * (value - mean)
  }

  /// √(Σ (y − mean)² / (n − 1) / n); nil of fewer than two samples.
  public var standardError: Double? {
    count > 1 ? (squares / Double(count - 1) / Double(count)).squareRoot() : nil
  }
}
