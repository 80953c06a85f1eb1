import Aggregation
import SystemIO
import TensorStream

/// What a table has of each feature or dimension.
public enum FeatureColumn: Hashable, Sendable {
  case average(Measure)
  case standardError(Measure)
  /// How many standard errors the signed mean is away from 0.
  case z(Quantity)
  /// What position 0 of all samples makes up of attribution.mean_abs.
  case firstShare
  case ablation(AblationValue)

  /// In the order in which they stand in a table.
  public static let all: [FeatureColumn] =
    Quantity.allCases.flatMap { quantity -> [FeatureColumn] in
      let (mean, absolute) = (Measure.average(quantity, .mean), Measure.average(quantity, .meanAbsolute))
      return [.average(mean), .standardError(mean), .z(quantity), .average(absolute), .standardError(absolute)]
    } + [.average(.firing), .standardError(.firing), .firstShare] + AblationValue.allCases.map { .ablation($0) }

  /// Those that rows are sorted by where nothing else is asked, the first one that all places have.
  static let preferred: [FeatureColumn] =
    [AveragingMode.meanAbsolute, .mean].flatMap { mode in
      [Quantity.attribution, .gradient, .activation].map { .average(.average($0, mode)) }
    } + [.average(.firing)]

  /// `attribution_mean_abs`, `attribution_mean_abs_se`, `attribution_z`, `firing`.
  public var name: String {
    switch self {
    case .average(let measure): measure.quantity.map { "\($0.rawValue)_\(measure.mode.names.flag)" } ?? measure.name
    case .standardError(let measure): "\(FeatureColumn.average(measure).name)_se"
    case .z(let quantity): "\(quantity.rawValue)_z"
    case .firstShare: PlaceValue.firstShare.rawValue
    case .ablation(let value): value.rawValue
    }
  }

  /// `attribution.mean_abs`, as flags spell it and people read it.
  public var title: String {
    let quantity: Quantity? =
      switch self {
      case .average(let measure), .standardError(let measure): measure.quantity
      case .z(let quantity): quantity
      case .firstShare, .ablation: nil
      }
    return quantity.map { "\($0.rawValue).\(name.dropFirst($0.rawValue.count + 1))" } ?? name
  }

  /// That of its standard error; nil of what has none.
  package var error: FeatureColumn? {
    switch self {
    case .average(let measure): .standardError(measure)
    case .ablation(.effect): .ablation(.effectError)
    case .ablation(.predicted): .ablation(.predictedError)
    case .standardError, .z, .firstShare, .ablation: nil
    }
  }

  /// Reads a name as it stands in the table, or with a dot behind the quantity.
  public init?(_ text: String) {
    guard let column = Self.all.first(where: { [$0.name, $0.title].contains(text) }) else { return nil }
    self = column
  }
}

/// What rows are sorted by: a column, the largest magnitude first, or the index.
public enum TableOrder: Equatable, Sendable {
  case index
  case magnitude(FeatureColumn)

  /// - Throws: `Failure` of kind usage that tells what there is.
  @Sendable public init(_ text: String) throws {
    guard text != "index" else {
      self = .index
      return
    }
    guard let column = FeatureColumn(text) else {
      let quantity = Quantity(rawValue: String(text.prefix { $0 != "." }))
      let choices = FeatureColumn.all.map(\.title).filter { title in
        quantity.map { title.hasPrefix("\($0.rawValue).") } ?? false
      }
      if let last = choices.last {
        throw Failure(
          .usage, "expected \(choices.dropLast().joined(separator: ", ")) or \(last), found '\(printable(text))'")
      }
      throw Failure(
        .usage,
        "expected a column such as attribution.mean_abs, gradient.mean, attribution.z, firing or index, found '\(text)'"
      )
    }
    self = .magnitude(column)
  }
}
