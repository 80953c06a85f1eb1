/// A finished average, and how sure it is.
public struct Estimate: Sendable {
  public let measure: Measure
  /// [width]
  public let average: [Double]
  /// [width]; nil where there are not two units.
  public let standardError: [Double]?
  /// Nil where it cannot be told.
  public let reliability: Reliability?
  /// What position 0 makes up of each average, [width], NaN where that is 0; nil where it is not told.
  public let firstShare: [Double]?
  public let units: Int
}

/// How far a ranking by an average can be trusted: how far two halves of the data agree on it, which are the units of
/// even number and those of odd number.
public struct Reliability: Equatable, Sendable {
  /// Pearson's correlation between the halves' averages, over dimensions or features.
  public let correlation: Double
  /// How many of the halves' top 20 by magnitude are the same.
  public let overlap: Int
  /// How many units all of the data has.
  public let units: Int

  public static let overlapOf = 20

  /// Of the average over all of the data, which is twice as long as its halves (Spearman and Brown): 2r/(1+r).
  public var ofAll: Double { 2 * correlation / (1 + correlation) }

  /// How many units such as these a reliability of 0.9 would take (Spearman and Brown); infinity where the halves do not
  /// agree at all.
  public var unitsForNineTenths: Double {
    correlation > 0 ? Double(units) * 9 * (1 - correlation) / (2 * correlation) : .infinity
  }

  public init(correlation: Double, overlap: Int, units: Int) {
    self.correlation = correlation
    self.overlap = overlap
    self.units = units
  }

  /// Nil where there is no correlation, as of halves that do not vary.
  init?(_ even: [Double], _ odd: [Double], units: Int) {
    guard let correlation = Aggregation.correlation(even, odd) else { return nil }
    let top = [even, odd].map { Set(indicesOfLargestMagnitudes($0, count: Self.overlapOf)) }
    self.init(correlation: correlation, overlap: top[0].intersection(top[1]).count, units: units)
  }
}

extension PlaceSums {
  /// The average and what is known of its error, where the open units are counted as they are.
  public func estimate(_ measure: Measure) -> Estimate {
    let (units, sums) = (units.closed, self[measure].closed(units))
    return Estimate(
      measure: measure, average: average(measure), standardError: standardError(of: sums, units),
      reliability: reliability(of: sums, units),
      firstShare: sums.first.map { zip($0, sums.total).map { $0 / $1 } }, units: units.complete)
  }

  /// With U units and m = Σy/Σb, the root of U/(U−1) · Σ(y − m·b)² / (Σb)².
  private func standardError(of sums: MeasureSums, _ units: Units) -> [Double]? {
    guard units.complete > 1 else { return nil }
    let U = Double(units.complete)
    return (0..<width).map { i in
      let m = sums.total[i] / weight
      let squares = sums.squares[i] - 2 * m * sums.products[i] + m * m * units.squaredWeight
      // Rounding can leave a little below 0, but what is no number stays none.
      return (U / (U - 1) * (squares < 0 ? 0 : squares)).squareRoot() / weight
    }
  }

  private func reliability(of sums: MeasureSums, _ units: Units) -> Reliability? {
    guard units.completeEven > 0, units.completeEven < units.complete else { return nil }
    let oddWeight = weight - units.evenWeight
    return Reliability(
      sums.even.map { $0 / units.evenWeight },
      (0..<width).map { (sums.total[$0] - sums.even[$0]) / oddWeight }, units: units.complete)
  }
}
