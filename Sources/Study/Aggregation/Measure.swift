import TensorStream

/// What a dimension or feature has at a position.
public enum Quantity: String, CaseIterable, Sendable {
  case gradient
  /// Activation times gradient: to first order what the loss would lose if the activation became 0.
  case attribution
  case activation
}

/// What is averaged over positions: a quantity in a mode, or how often a feature is active.
public enum Measure: Hashable, Sendable {
  case average(Quantity, AveragingMode)
  case firing

  /// In the order in which they are written and told of.
  public static let all: [Measure] =
    Quantity.allCases.flatMap { quantity in AveragingMode.allCases.map { .average(quantity, $0) } } + [.firing]

  /// Nil of firing.
  public var quantity: Quantity? { if case .average(let quantity, _) = self { quantity } else { nil } }

  public var mode: AveragingMode { if case .average(_, let mode) = self { mode } else { .mean } }

  /// Whether each value counts by its size alone.
  var isAbsolute: Bool { mode == .meanAbsolute }

  /// What the tensor of the average is called, and what begins the names of those beside it: `mean_abs`,
  /// `attribution_mean`, `firing`.
  public var name: String {
    switch self {
    case .average(let quantity, let mode): Self.prefix(quantity) + mode.names.average.rawValue
    case .firing: "firing"
    }
  }

  private static func prefix(_ quantity: Quantity) -> String { quantity == .gradient ? "" : "\(quantity.rawValue)_" }

  /// Σ w · what is averaged, [width].
  public var sum: PlaceValue {
    switch self {
    case .average(let quantity, let mode): PlaceValue(rawValue: Self.prefix(quantity) + mode.names.sum.rawValue)
    case .firing: PlaceValue(rawValue: "firing_sum")
    }
  }

  public var average: PlaceValue { PlaceValue(rawValue: name) }
  public var standardError: PlaceValue { PlaceValue(rawValue: "\(name)_se") }
  /// How far the ranking can be trusted: see `Reliability`.
  public var halves: PlaceValue { PlaceValue(rawValue: "\(name)_halves") }
  /// The sums over complete units: of those of even number, of squares, of products with the unit's weight.
  var even: PlaceValue { PlaceValue(rawValue: "\(name)_even") }
  var squares: PlaceValue { PlaceValue(rawValue: "\(name)_squares") }
  var products: PlaceValue { PlaceValue(rawValue: "\(name)_products") }
  /// The totals of units that are not complete.
  var open: PlaceValue { PlaceValue(rawValue: "\(name)_open") }
  /// What position 0 of all samples has in `sum`; nil where it is not told apart.
  var firstSum: PlaceValue? { hasFirstShare ? PlaceValue(rawValue: "first_sum") : nil }
  /// Whether the share of position 0 is told of it. That position is an attention sink in many models, and can make up
  /// most of an average of magnitudes. Attributions alone are told of, because of gradients that a decoder multiplies it
  /// would take products of their own.
  var hasFirstShare: Bool { self == .average(.attribution, .meanAbsolute) }
}

extension PlaceValue {
  /// The share that position 0 has in each feature's `attribution_mean_abs`, [width].
  public static let firstShare = PlaceValue(rawValue: "first_share")
}
