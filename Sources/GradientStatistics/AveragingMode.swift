/// How gradients were averaged, by the names that flags, streams and file names use.
public enum AveragingMode: String, CaseIterable, Sendable, Comparable {
  /// The average of c·g: the sign says which way the loss moves.
  case mean
  /// The average of |c·g|.
  case meanAbsolute = "mean_abs"

  /// The words of titles and axes.
  public var title: String {
    switch self {
    case .mean: "Signed Mean"
    case .meanAbsolute: "Mean Absolute"
    }
  }

  public static func < (a: AveragingMode, b: AveragingMode) -> Bool {
    a == .mean && b == .meanAbsolute
  }
}
