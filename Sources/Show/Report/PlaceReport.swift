import Aggregation
import JSON
import Plotting
import SystemIO
import Tables
import TensorStream

/// What a page has of one place, computed once.
struct PlaceReport {
  /// A feature or dimension that is listed.
  struct Row {
    let index: Int
    /// By the page's ranking, from 1.
    let rank: Int
    /// In the order of the page's columns; nil where the place lacks one.
    let values: [Double?]
  }

  struct FigurePair {
    let averages: PlaceAverages
    let histogram: String
    let scatter: String
    let area: Figure.ScatterArea?
    let bins: Histogram
    let values: PackedValues
  }

  let columns: PlaceColumns
  let ranked: PlaceAverages
  let quartiles: Quartiles?
  let rows: [Row]
  let figures: [FigurePair]
  let contexts: [Int: [Context]]
  let labels: [Int: String]
  /// Of the features that have contexts, from what text they are; see `Gzip.swift`.
  let packedContexts: [UInt8]?

  var place: Place { columns.place }
  var unit: GradientUnit { columns.unit }

  /// - Parameters:
  ///   - all: the page's columns.
  ///   - measures: the ranking's first.
  init(
    _ columns: PlaceColumns, _ all: [FeatureColumn], _ measures: [Measure], _ contexts: [Int: [Context]],
    _ options: ReportOptions, exactValues: Bool
  ) throws {
    self.columns = columns
    self.contexts = contexts
    let ranked = columns.of(measures[0])!
    self.ranked = ranked
    quartiles = Quartiles(ranked.values)
    rows = Self.rows(columns, all, ranked, contexts, top: options.top)
    let labels = options.labels[columns.place] ?? [:]
    self.labels = Dictionary(
      uniqueKeysWithValues: rows.compactMap { row in labels[row.index].map { (row.index, $0) } })
    figures = try measures.compactMap(columns.of).map { averages in
      let plots = PlotOptions()
      let scatter = Figure.columnScatter(averages, plots)
      return FigurePair(
        averages: averages,
        histogram: Figure.columnHistogram(averages, plots).markup(resolution: Self.resolution),
        scatter: scatter.figure.markup(resolution: Self.resolution), area: scatter.area,
        bins: averages.histogram(bins: plots.bins), values: try PackedValues(averages, areExact: exactValues))
    }
    packedContexts = contexts.isEmpty ? nil : try gzipped(Array(Self.json(contexts).utf8))
  }

  /// Pixels a point, of clouds: what a column of a page has on most screens, at a size that can be mailed.
  private static let resolution = 1.0

  /// The first of the ranking, and after them in its order what else has contexts or was ablated.
  private static func rows(
    _ columns: PlaceColumns, _ all: [FeatureColumn], _ ranked: PlaceAverages, _ contexts: [Int: [Context]], top: Int
  ) -> [Row] {
    let first = ranked.top(top)
    let listed = Set(first)
    let others = Set(contexts.keys).union(columns.ablations.keys).subtracting(listed).map { index in
      (index: index, rank: ranked.rank(of: index))
    }.sorted { ($0.rank, $0.index) < ($1.rank, $1.index) }
    let values = all.map { columns.values($0) }
    return (first.enumerated().map { (index: $1, rank: $0 + 1) } + others).map { index, rank in
      Row(index: index, rank: rank, values: values.map { $0?[index] })
    }
  }

  private static func json(_ contexts: [Int: [Context]]) -> String {
    JSON.object(
      contexts.sorted { $0.key < $1.key }.map { ("\($0)", JSON.array($1.map(\.json))) })
  }

  /// The tokens at which a feature counts most, each once, in the order of its contexts.
  func tokens(of index: Int) -> [String] {
    var seen: Set<String> = []
    return Array((contexts[index] ?? []).map(\.token).filter { seen.insert($0).inserted }.prefix(6))
  }
}

extension PlaceAverages {
  /// From 1; of what is no number behind all the others.
  fileprivate func rank(of index: Int) -> Int {
    let own = abs(values[index])
    guard own.isFinite else { return statistics.count + 1 }
    var before = 0
    for (other, value) in values.enumerated() where value.isFinite {
      if abs(value) > own || (abs(value) == own && other < index) { before += 1 }
    }
    return before + 1
  }
}

/// All the values that a scatter plot shows, packed for the page's script: as they are where these are few, else in steps
/// that are finer than the picture's pixels.
package struct PackedValues {
  /// nil where they are as they are, float32.
  package let step: (low: Double, size: Double)?
  package let bytes: [UInt8]

  /// From the least value to the largest.
  package static let steps = 250
  /// Of what is no number.
  private static let none = UInt8.max

  package init(_ averages: PlaceAverages, areExact: Bool) throws {
    let (low, high) = (averages.statistics.minimum, averages.statistics.maximum)
    let size = (high - low) / Double(Self.steps)
    guard !areExact, size.isFinite, size > 0 else {
      step = nil
      bytes = try gzipped(averages.values.map(Float.init).withUnsafeBytes(Array.init))
      return
    }
    step = (low, size)
    bytes = try gzipped(
      averages.values.map { $0.isFinite ? UInt8(min(Double(Self.steps), (($0 - low) / size).rounded())) : Self.none })
  }
}
