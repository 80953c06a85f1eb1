/// What the values of a layer belong to.
public enum GradientUnit: String, CaseIterable, Sendable {
  /// Features of a sparse autoencoder.
  case feature
  /// Dimensions of the MLP output.
  case activation
}

/// One layer's averaged gradients, and what is said of them.
public struct LayerGradients: Sendable {
  public let layer: Int
  public let mode: AveragingMode
  public let unit: GradientUnit
  public let values: [Double]
  /// How the values were stored: histogram edges are rounded as numpy rounds them.
  public let precision: Histogram.Precision
  public let statistics: Statistics

  public init(
    layer: Int, mode: AveragingMode, unit: GradientUnit, values: [Double], precision: Histogram.Precision = .double
  ) {
    self.layer = layer
    self.mode = mode
    self.unit = unit
    self.values = values
    self.precision = precision
    statistics = Statistics(values)
  }

  /// The indices of the largest |values|, largest first.
  public func top(_ count: Int) -> [Int] { indicesOfLargestMagnitudes(values, count: count) }

  /// - Returns: `numpy.histogram`'s edges and counts. Where all values are one, numpy's bins reach half a unit to
  ///   both sides, thousands of times the value of a gradient; here they reach half the value.
  public func histogram(bins: Int) -> Histogram {
    let value = statistics.minimum
    guard value == statistics.maximum, value != 0 else {
      return Histogram(values, bins: bins, precision: precision)
    }
    return Histogram(values, bins: bins, range: (value - abs(value) / 2)...(value + abs(value) / 2))
  }
}
