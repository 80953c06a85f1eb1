import Aggregation
import SystemIO
import TensorStream

/// Two runs' averages side by side.
public struct Comparison: Sendable {
  /// How far two runs' rankings of a place agree.
  public struct Agreement: Sendable {
    public let place: Place
    let column: FeatureColumn
    /// Spearman's, over all features or dimensions; nil where there is none.
    public let rankCorrelation: Double?
    /// How many of the first are the same, and of how many each has.
    public let overlap: Int
    public let overlapOf: Int

    /// "mlp_out.3: attribution.mean_abs: rank correlation 0.981, 19 of the top 20 the same"
    public var text: String {
      "\(place): \(column.title): rank correlation \(rankCorrelation.map { decimal($0, 3) } ?? "none"), \(overlap) of "
        + "the top \(overlapOf) the same"
    }
  }

  public let agreements: [Agreement]
  public let table: FeatureTable
  /// The places that one of the two runs lacks.
  public let missing: [Place]

  /// - Parameters:
  ///   - order: of the rows, by the first run; its column, or the default one, is what agreement is told of.
  ///   - top: how many of each ranking's first are looked for among the other's.
  /// - Throws: `Failure` of kind malformed where no place is in both, or where one is not of the same size in both.
  public init(
    _ places: [PlaceColumns], with others: [PlaceColumns], _ selection: FeatureTable.Selection, by order: TableOrder?,
    top: Int
  ) throws {
    let pairs = try Self.pairs(places, others)
    let own = pairs.map(\.own)
    let known = (own + pairs.map(\.other)).defaultColumn
    let column: FeatureColumn? = if case .magnitude(let column) = order { column } else { known }
    guard let column else {
      throw Failure(.malformed, "--compare: expected an average that all places of both have, found none")
    }
    agreements = try pairs.map { own, other in
      let rankings = try [own, other].map { try $0.sorted(by: .magnitude(column)).prefix(top) }
      return Agreement(
        place: own.place, column: column,
        rankCorrelation: rankCorrelation(own.values(column)!, other.values(column)!),
        overlap: Set(rankings[0]).intersection(rankings[1]).count, overlapOf: min(top, own.count))
    }
    missing = Set(places.map(\.place)).symmetricDifference(others.map(\.place)).sorted()
    table = try FeatureTable(
      own, Self.columns(pairs) + Self.columns(agreements, pairs), selection, by: order ?? .magnitude(column),
      headings: Dictionary(uniqueKeysWithValues: agreements.map { ($0.place, [$0.text]) }))
  }

  private typealias Pair = (own: PlaceColumns, other: PlaceColumns)

  private static func pairs(_ places: [PlaceColumns], _ others: [PlaceColumns]) throws -> [Pair] {
    let pairs = places.compactMap { own in others.first { $0.place == own.place }.map { (own, $0) } }
    guard !pairs.isEmpty else {
      let found = [places, others].map { "\(PlaceList($0.map(\.place)))" }
      throw Failure(.malformed, "--compare: expected places that are in both, found \(found[0]) and \(found[1])")
    }
    for (own, other) in pairs where own.count != other.count || own.unit != other.unit {
      let found = [own, other].map { "\($0.count) of a\($0.unit == .activation ? "n" : "") \($0.unit.rawValue)" }
      throw Failure(.malformed, "--compare: \(own.place): expected \(found[0]) as in the first, found \(found[1])")
    }
    return pairs
  }

  /// Of each average that a place has in both runs: both, and their difference, with standard errors.
  private static func columns(_ pairs: [Pair]) -> [FeatureTable.Column] {
    Measure.all.flatMap { measure -> [FeatureTable.Column] in
      let (average, error) = (FeatureColumn.average(measure), FeatureColumn.standardError(measure))
      let both = pairs.filter { $0.own.of(measure) != nil && $0.other.of(measure) != nil }
      func column(
        _ prefix: String, _ of: FeatureColumn, _ title: String, _ values: (Pair) -> [Double]?
      ) -> FeatureTable.Column? {
        let values = both.compactMap { pair in values(pair).map { (pair.own.place, $0) } }
        guard !values.isEmpty else { return nil }
        return FeatureTable.Column(
          name: prefix + of.name, title: title, kind: of.kind, content: of,
          values: .init(uniqueKeysWithValues: values))
      }
      func difference(_ pair: Pair, _ column: FeatureColumn, _ combine: (Double, Double) -> Double) -> [Double]? {
        guard let own = pair.own.values(column), let other = pair.other.values(column) else { return nil }
        return zip(own, other).map(combine)
      }
      return [
        column("", average, average.title) { $0.own.values(average) },
        column("", error, error.shortTitle) { $0.own.values(error) },
        column("other_", average, "other") { $0.other.values(average) },
        column("other_", error, error.shortTitle) { $0.other.values(error) },
        column("difference_", average, "difference") { difference($0, average, -) },
        // Of runs that are independent of one another.
        column("difference_", error, error.shortTitle) { pair in
          difference(pair, error) { ($0 * $0 + $1 * $1).squareRoot() }
        },
      ].compactMap { $0 }
    }
  }

  /// What is known of a place, beside each of its rows.
  private static func columns(_ agreements: [Agreement], _ pairs: [Pair]) -> [FeatureTable.Column] {
    func column(
      _ name: String, _ kind: FeatureTable.Column.Kind, _ value: (Agreement) -> Double
    ) -> FeatureTable.Column {
      let values = zip(agreements, pairs).map { ($0.place, [Double](repeating: value($0), count: $1.own.count)) }
      return FeatureTable.Column(
        name: name, title: "", kind: kind, content: nil, values: .init(uniqueKeysWithValues: values))
    }
    return [
      column("rank_correlation", .ratio) { $0.rankCorrelation ?? .nan },
      column("top_same", .count) { Double($0.overlap) },
    ]
  }
}
