import Aggregation

/// The axes of a histogram, or of all that share a page.
struct HistogramScale {
  let xAxis: Axis
  let yAxis: Axis
  let isCentredOnZero: Bool
  /// What all histograms' bins span; nil where it is one's own.
  private let range: ClosedRange<Double>?
  /// Of the only one.
  private let own: Histogram?

  init(_ all: [PlaceAverages], bins: Int, countScale: Axis.Scale) {
    let some = all.filter { $0.statistics.count > 0 }
    let (low, high) = (some.map(\.statistics.minimum).min(), some.map(\.statistics.maximum).max())
    let range: ClosedRange<Double>? =
      if all.count > 1, let low, let high, high - low > PlaceAverages.smallestSpread { low...high } else { nil }
    let histograms = all.map { Self.histogram($0, bins: bins, range: range) }
    // The outermost bars belong inside the frame, also those of a constant array, which are wider than its values.
    let edges = some.isEmpty ? [] : zip(all, histograms).filter { $0.0.statistics.count > 0 }.flatMap(\.1.edges)
    isCentredOnZero = all.contains(where: \.areDrawnAroundZero)
    xAxis = Axis.averages(
      minimum: edges.min() ?? .nan, maximum: edges.max() ?? .nan, isCentredOnZero: isCentredOnZero, margin: 0.03)
    yAxis = Axis.counts(maximum: histograms.compactMap { $0.counts.max() }.max() ?? 0, scale: countScale)
    self.range = range
    own = all.count == 1 ? histograms.first : nil
  }

  func histogram(_ averages: PlaceAverages, bins: Int) -> Histogram {
    own ?? Self.histogram(averages, bins: bins, range: range)
  }

  private static func histogram(_ averages: PlaceAverages, bins: Int, range: ClosedRange<Double>?) -> Histogram {
    range.map { Histogram(averages.values, bins: bins, range: $0, areFloat32: averages.areFloat32) }
      ?? averages.histogram(bins: bins)
  }
}
