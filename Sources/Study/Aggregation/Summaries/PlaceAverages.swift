import TensorStream

/// What the values at a place belong to.
public enum GradientUnit: String, CaseIterable, Sendable {
  /// Features of a sparse autoencoder.
  case feature
  /// Dimensions of the activation.
  case activation
}

/// The averages of one measure at one place, and what is said of them.
public struct PlaceAverages: Sendable {
  public let place: Place
  public let measure: Measure
  public let unit: GradientUnit
  public let values: [Double]
  /// Of each of the values; nil where they are not known.
  public let standardErrors: [Double]?
  /// How far the ranking can be trusted, where that is known.
  public let reliability: Reliability?
  /// What position 0 of all samples makes up of each of the values, where that is known; NaN where the value is 0.
  public let firstShares: [Double]?
  /// How the values were stored, in float32 or float64: histogram edges are rounded as numpy rounds them.
  public let areFloat32: Bool
  public let statistics: Statistics

  public var mode: AveragingMode { measure.mode }

  public init(
    place: Place, measure: Measure, unit: GradientUnit, values: [Double], standardErrors: [Double]? = nil,
    reliability: Reliability? = nil, firstShares: [Double]? = nil, areFloat32: Bool = false
  ) {
    precondition([standardErrors, firstShares].allSatisfy { $0.map { $0.count == values.count } ?? true })
    self.place = place
    self.measure = measure
    self.unit = unit
    self.values = values
    self.standardErrors = standardErrors
    self.reliability = reliability
    self.firstShares = firstShares
    self.areFloat32 = areFloat32
    statistics = Statistics(values)
  }

  /// The indices of the largest |values|, largest first.
  public func top(_ count: Int) -> [Int] { indicesOfLargestMagnitudes(values, count: count) }

  /// - Returns: `numpy.histogram`'s edges and counts. Where all values are one, numpy's bins reach half a unit to
  ///   both sides, thousands of times the value of a gradient; here they reach half the value, and the value lies in
  ///   the middle of one, zero too. So they do where the values lie so close together that numpy refuses to make bins.
  public func histogram(bins: Int) -> Histogram {
    let (low, high) = (statistics.minimum, statistics.maximum)
    // Of no values, too.
    if !(high - low <= Self.smallestSpread) {
      let histogram = Histogram(values, bins: bins, areFloat32: areFloat32)
      if zip(histogram.edges, histogram.edges.dropFirst()).allSatisfy({ $0 < $1 }) { return histogram }
    }
    let isZero = statistics.maximumMagnitude <= Self.smallestSpread
    let middle = isZero ? 0 : low / 2 + high / 2
    let binWidth = (isZero ? 1 : abs(middle)) / Double(bins)
    let first = middle - (Double(bins / 2) + 0.5) * binWidth
    return Histogram(values, bins: bins, range: first...(first + Double(bins) * binWidth))
  }

  /// Smaller differences are drawn as none: the steps between the ticks of their axis would run out of digits.
  public static let smallestSpread = 1e-290

  /// Whether the values differ by rounding only, so that there is no spread to be seen.
  public var isConstant: Bool {
    let spread = statistics.maximum - statistics.minimum
    return spread <= max(Self.smallestSpread, 128 * statistics.maximumMagnitude.ulp)
  }
}
