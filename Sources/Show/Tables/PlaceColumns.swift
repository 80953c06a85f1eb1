import Aggregation
import SystemIO
import TensorStream

/// All averages at a place, a column each, with their standard errors.
public struct PlaceColumns: Sendable {
  public let place: Place
  public let unit: GradientUnit
  /// How many features or dimensions there are.
  public let count: Int
  package let averages: [PlaceAverages]
  /// By their features, those of a place that were ablated.
  public var ablations: [Int: Ablation] = [:]

  /// The averages by their places, which are in the same order.
  ///
  /// - Throws: `Failure` of kind malformed where those of a place are not of one length.
  public static func byPlace(_ averages: [PlaceAverages]) throws -> [PlaceColumns] {
    var groups: [[PlaceAverages]] = []
    for one in averages {
      if groups.last?[0].place == one.place { groups[groups.count - 1].append(one) } else { groups.append([one]) }
    }
    return try groups.map { group in
      let first = group[0]
      if let other = group.first(where: { $0.values.count != first.values.count }) {
        throw Failure(
          .malformed,
          "\(first.place): expected \(first.values.count) values of \(other.measure.name) as of \(first.measure.name), "
            + "found \(other.values.count)")
      }
      return PlaceColumns(place: first.place, unit: first.unit, count: first.values.count, averages: group)
    }
  }

  /// The values of a column; nil where the place has none.
  package func values(_ column: FeatureColumn) -> [Double]? {
    switch column {
    case .average(let measure): of(measure)?.values
    case .standardError(let measure): of(measure)?.standardErrors
    case .z(let quantity):
      of(.average(quantity, .mean)).flatMap { mean in
        mean.standardErrors.map { errors in zip(mean.values, errors).map { abs($0) / $1 } }
      }
    case .firstShare: averages.lazy.compactMap(\.firstShares).first
    case .ablation(let value):
      ablations.isEmpty ? nil : (0..<count).map { ablations[$0]?[value] ?? .nan }
    }
  }

  /// What position 0 makes up of attribution.mean_abs over all features.
  var firstShareOfAll: Double? {
    guard let averages = averages.first(where: { $0.firstShares != nil }), let shares = averages.firstShares else {
      return nil
    }
    // Features that are never active have no share.
    let pairs = zip(averages.values, shares).filter { $0.0 > 0 && $0.1.isFinite }
    let all = pairs.reduce(0) { $0 + $1.0 }
    return all > 0 ? pairs.reduce(0) { $0 + $1.0 * $1.1 } / all : nil
  }

  package func of(_ measure: Measure) -> PlaceAverages? { averages.first { $0.measure == measure } }

  /// Whether numbers need no more digits than float32 has.
  package var areFloat32: Bool { averages.allSatisfy(\.areFloat32) }

  /// The indices in that order; what is no number comes last.
  ///
  /// - Throws: `Failure` of kind malformed that tells what the place has, where it lacks the column.
  func sorted(by order: TableOrder) throws -> [Int] {
    guard case .magnitude(let column) = order else { return Array(0..<count) }
    guard let values = values(column) else {
      let present = FeatureColumn.all.filter { self.values($0) != nil }.map(\.title).joined(separator: ", ")
      throw Failure(.malformed, "--sort: expected \(column.title) at \(place), found \(present)")
    }
    let finite = indicesOfLargestMagnitudes(values, count: count)
    return finite.count == count ? finite : finite + values.indices.filter { !values[$0].isFinite }
  }
}

extension [PlaceColumns] {
  /// What rows are sorted by where nothing is asked: the mean_abs of attributions where all places have it, else that of
  /// gradients, else what there is.
  package var defaultColumn: FeatureColumn? {
    FeatureColumn.preferred.first { column in allSatisfy { $0.values(column) != nil } }
  }
}
