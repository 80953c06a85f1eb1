import TensorStream

/// How gradients were averaged.
public enum AveragingMode: CaseIterable, Sendable, Comparable {
  /// The average of c·g: the sign says which way the loss moves.
  case mean
  /// The average of |c·g|.
  case meanAbsolute

  public struct Names: Sendable {
    /// The value of `--mode`, and of `mode` in provenance; tables and messages have it, too.
    public let flag: String
    /// The tensors of aggregates: Σ w·c·g or Σ w·|c·g|, and that divided by Σ w.
    public let sum: PlaceValue
    public let average: PlaceValue
    /// In names of arrays and pictures.
    public let file: String
    /// Of titles and axes.
    public let title: String
  }

  public var names: Names {
    switch self {
    case .mean:
      Names(
        flag: "mean", sum: PlaceValue(rawValue: "sum"), average: PlaceValue(rawValue: "mean"), file: "mean",
        title: "Signed Mean")
    case .meanAbsolute:
      Names(
        flag: "mean_abs", sum: PlaceValue(rawValue: "sum_abs"), average: PlaceValue(rawValue: "mean_abs"),
        file: "mean_abs", title: "Mean Absolute")
    }
  }

  /// The mode that has `name` among its names.
  public init?<Name: Equatable>(_ kind: KeyPath<Names, Name>, _ name: Name) {
    guard let mode = Self.allCases.first(where: { $0.names[keyPath: kind] == name }) else { return nil }
    self = mode
  }
}
