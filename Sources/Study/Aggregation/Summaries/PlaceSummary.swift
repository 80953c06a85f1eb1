import SystemIO
import TensorStream

/// The lines that the PyTorch scripts print after each layer, at another place with its site; other people's scripts read
/// them, so the wording, the six decimals and the order stay. Numbers that these decimals would show fewer than three
/// digits of are in scientific notation.
public enum PlaceSummary {
  /// - Parameter statistics: one mode's, or both for the three-line form.
  public static func text(_ place: Place, _ statistics: [AveragingMode: Statistics]) -> String {
    func numbers(_ statistics: Statistics, _ suffix: String = "") -> String {
      let maximum = number(statistics.maximumMagnitude)
      let deviation = number(statistics.standardDeviation)
      let mean = number(statistics.mean)
      return "\(mean), Max\(suffix) = \(maximum), Std\(suffix) = \(deviation)"
    }
    switch (statistics[.mean], statistics[.meanAbsolute]) {
    case (let signed?, let absolute?):
      return "\(place.title):\n  Mean gradient (signed) = \(numbers(signed))\n"
        + "  Mean gradient (abs) = \(numbers(absolute))"
    case (let signed?, nil): return "\(place.title): Mean gradient = \(numbers(signed, " gradient"))"
    case (nil, let absolute?): return "\(place.title): Mean abs gradient = \(numbers(absolute, " gradient"))"
    case (nil, nil): return "\(place.title):"
    }
  }

  /// "0.002345", "1.23e-07"; 0 is "0.000000".
  private static func number(_ value: Double) -> String {
    if value == 0 { return decimal(0, 6) }
    return abs(value) < 1e-4 ? scientific(value, digits: 3) : decimal(value, 6)
  }
}
