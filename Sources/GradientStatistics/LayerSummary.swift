/// The lines that the PyTorch scripts print after each layer; other people's scripts read them, so the wording, the
/// six decimals and the order stay.
public enum LayerSummary {
  /// - Parameter statistics: one mode's, or both for the three-line form.
  public static func text(layer: Int, _ statistics: [AveragingMode: Statistics]) -> String {
    func numbers(_ statistics: Statistics, _ suffix: String = "") -> String {
      let maximum = DecimalText.fixed(statistics.maximumMagnitude, decimals: 6)
      let deviation = DecimalText.fixed(statistics.standardDeviation, decimals: 6)
      let mean = DecimalText.fixed(statistics.mean, decimals: 6)
      return "\(mean), Max\(suffix) = \(maximum), Std\(suffix) = \(deviation)"
    }
    switch (statistics[.mean], statistics[.meanAbsolute]) {
    case (let signed?, let absolute?):
      return "Layer \(layer):\n  Mean gradient (signed) = \(numbers(signed))\n"
        + "  Mean gradient (abs) = \(numbers(absolute))"
    case (let signed?, nil): return "Layer \(layer): Mean gradient = \(numbers(signed, " gradient"))"
    case (nil, let absolute?): return "Layer \(layer): Mean abs gradient = \(numbers(absolute, " gradient"))"
    case (nil, nil): return "Layer \(layer):"
    }
  }
}
