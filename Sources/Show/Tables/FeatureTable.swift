import Aggregation
import SystemIO
import TensorStream

/// Rows of features or dimensions, of one place after another or of all together.
public struct FeatureTable: Sendable {
  /// Which rows there are.
  public enum Selection: Equatable, Sendable {
    case all
    /// So many of each place.
    case top(Int)
    /// So many of all places together.
    case topOverall(Int)
    /// These alone.
    case only(Set<FeatureName>)
  }

  struct Column: Sendable {
    enum Kind { case value, error, ratio, share, count, mark }

    /// For programs.
    let name: String
    /// For people.
    let title: String
    let kind: Kind
    /// What is in it, of one run or of two; nil of what is known of a place as a whole.
    let content: FeatureColumn?
    /// What each place has of it; nothing where it lacks it.
    let values: [Place: [Double]]
  }

  struct Row: Equatable, Sendable {
    let place: Place
    let index: Int
  }

  let columns: [Column]
  let rows: [Row]
  /// Whether rows of different places stand among one another.
  let isMixed: Bool
  let areFloat32: Bool
  /// What is said above the rows of a place, for people.
  let headings: [Place: [String]]
  /// The column that rows are sorted by, which is always shown.
  let sortedBy: FeatureColumn?

  init(
    _ places: [PlaceColumns], _ columns: [Column], _ selection: Selection, by order: TableOrder,
    headings: [Place: [String]]
  ) throws {
    self.columns = columns
    self.headings = headings
    sortedBy = if case .magnitude(let column) = order { column } else { nil }
    areFloat32 = places.allSatisfy(\.areFloat32)
    isMixed = if case .topOverall = selection { true } else { false }
    var sorted = try places.map { place in (place, indices: try place.sorted(by: order)) }
    var limit = Int.max
    switch selection {
    case .all: break
    case .top(let count), .topOverall(let count): limit = count
    case .only(let features):
      sorted = sorted.map { place, indices in
        (place, indices.filter { features.contains(FeatureName(place.place, $0)) })
      }
    }
    let rows = sorted.flatMap { place, indices in indices.prefix(limit).map { Row(place: place.place, index: $0) } }
    guard isMixed, case .magnitude(let column) = order else {
      self.rows = isMixed ? Array(rows.prefix(limit)) : rows
      return
    }
    let magnitudes = places.flatMap { place -> [Double] in
      let values = place.values(column)!
      return sorted.first { $0.0.place == place.place }!.indices.prefix(limit).map { values[$0] }
    }
    let finite = indicesOfLargestMagnitudes(magnitudes, count: limit)
    let others = magnitudes.indices.filter { !magnitudes[$0].isFinite }.prefix(limit - finite.count)
    self.rows = (finite + others).map { rows[$0] }
  }

  /// All averages of these places, which share what they are sorted by.
  ///
  /// - Parameter order: by default the mean_abs of attributions where all places have it, else that of gradients.
  /// - Throws: `Failure` of kind malformed where a place lacks what is sorted by.
  public init(_ places: [PlaceColumns], _ selection: Selection, by order: TableOrder?) throws {
    let columns = FeatureColumn.all.compactMap { column in
      Column(column, places.compactMap { place in place.values(column).map { (place.place, $0) } })
    }
    try self.init(
      places, columns, selection, by: places.order(order),
      headings: Dictionary(uniqueKeysWithValues: places.map { ($0.place, $0.heading) }))
  }
}

extension [PlaceColumns] {
  /// What rows are sorted by.
  func order(_ asked: TableOrder?) -> TableOrder { asked ?? defaultColumn.map { .magnitude($0) } ?? .index }
}

extension FeatureTable.Column {
  /// nil where no place has it.
  fileprivate init?(_ column: FeatureColumn, _ values: [(Place, [Double])]) {
    guard !values.isEmpty else { return nil }
    self.init(
      name: column.name, title: column.shortTitle, kind: column.kind, content: column,
      values: .init(uniqueKeysWithValues: values))
  }
}

extension [PlaceColumns] {
  /// Refuses features that none of these places has.
  ///
  /// - Throws: `Failure` of kind usage.
  public func check(_ features: some Sequence<FeatureName>) throws(Failure) {
    for feature in features {
      guard let columns = first(where: { $0.place == feature.place }) else {
        throw Failure(.usage, "expected features at \(PlaceList(map(\.place))), found \(feature) at \(feature.place)")
      }
      guard feature.index < columns.count else {
        throw Failure(
          .usage, "\(feature.place): expected \(columns.unit.things) from 0 to \(columns.count - 1), found \(feature)")
      }
    }
  }
}

extension FeatureColumn {
  /// What a column is called where it stands behind that which it belongs to.
  var shortTitle: String {
    switch self {
    case .average, .firstShare: title
    case .standardError, .ablation(.effectError), .ablation(.predictedError): "± SE"
    case .z: "z"
    case .ablation: title
    }
  }

  var kind: FeatureTable.Column.Kind {
    switch self {
    case .average(.firing): .share
    case .average: .value
    case .standardError(.firing): .share
    case .standardError: .error
    case .z: .ratio
    case .firstShare: .share
    case .ablation(.effect), .ablation(.predicted): .value
    case .ablation(.effectError), .ablation(.predictedError): .error
    case .ablation(.missed): .mark
    }
  }
}

extension PlaceColumns {
  /// Its size, and the statistics of each average.
  fileprivate var heading: [String] {
    let width = averages.map { FeatureColumn.average($0.measure).title.count }.max() ?? 0
    return ["\(place): \(grouped(count)) \(unit.things)"]
      + averages.flatMap { averages -> [String] in
        let (name, numbers) = (FeatureColumn.average(averages.measure).title, averages.statistics)
        let number = { scientific($0, digits: 4) }
        var line =
          "  \(name)\(String(repeating: " ", count: width - name.count))  max \(number(numbers.maximumMagnitude))  mean "
          + "\(number(numbers.mean))  std \(number(numbers.standardDeviation))"
        if let reliability = averages.reliability {
          line +=
            "  reliability \(decimal(reliability.ofAll, 2)), \(reliability.overlap) of the halves' top "
            + "\(Reliability.overlapOf) the same"
        }
        return [line] + (numbers.exclusions.map { ["  \(name): left out: \($0)"] } ?? [])
      } + [firstShareOfAll.map { "  position 0: \(decimal(100 * $0, 1)) % of attribution.mean_abs" }].compactMap { $0 }
  }
}

extension GradientUnit {
  package var things: String { self == .feature ? "features" : "dimensions" }
}
