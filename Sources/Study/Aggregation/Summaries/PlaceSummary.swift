import SystemIO
import TensorStream

/// The lines that the PyTorch scripts print after each layer, at another place with its site; other people's scripts read them, so the wording, the
/// six decimals and the order stay.
public enum PlaceSummary {
  /// - Parameter statistics: one mode's, or both for the three-line form.
  public static func text(_ place: Place, _ statistics: [AveragingMode: Statistics]) -> String {
    func numbers(_ statistics: Statistics, _ suffix: String = "") -> String {
      let maximum = decimal(statistics.maximumMagnitude, 6)
      let deviation = decimal(statistics.standardDeviation, 6)
      let mean = decimal(statistics.mean, 6)
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
}
