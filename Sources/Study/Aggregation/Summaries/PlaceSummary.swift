import SystemIO
import TensorStream

/// The lines that the PyTorch scripts print after each layer, at another place with its site; other people's scripts read
/// them, so the wording, the six decimals and the order stay. Numbers that these decimals would show fewer than three
/// digits of are in scientific notation.
public enum PlaceSummary {
  /// - Parameter statistics: one mode's, or both for the three-line form.
  public static func text(
    _ place: Place, _ statistics: [AveragingMode: Statistics], _ quantity: Quantity = .gradient
  ) -> String {
    let name = quantity.rawValue
    func numbers(_ statistics: Statistics, _ suffix: String = "") -> String {
      let maximum = number(statistics.maximumMagnitude)
      let deviation = number(statistics.standardDeviation)
      let mean = number(statistics.mean)
      return "\(mean), Max\(suffix) = \(maximum), Std\(suffix) = \(deviation)"
    }
    switch (statistics[.mean], statistics[.meanAbsolute]) {
    case (let signed?, let absolute?):
      return "\(place.title):\n  Mean \(name) (signed) = \(numbers(signed))\n"
        + "  Mean \(name) (abs) = \(numbers(absolute))"
    case (let signed?, nil): return "\(place.title): Mean \(name) = \(numbers(signed, " \(name)"))"
    case (nil, let absolute?): return "\(place.title): Mean abs \(name) = \(numbers(absolute, " \(name)"))"
    case (nil, nil): return "\(place.title):"
    }
  }

  /// "Layer 11: Firing = 0.012345, Max = 0.987654", over features.
  public static func text(_ place: Place, firing: Statistics) -> String {
    "\(place.title): Firing = \(number(firing.mean)), Max = \(number(firing.maximum))"
  }

  /// How sure the largest average is, and the ranking: a line of its own, as other people's scripts do not expect it.
  public static func text(_ measure: Measure, _ certainty: Certainty, _ unit: IndependentUnit) -> String? {
    guard let index = certainty.largestIndex, let largest = certainty.largest, let error = certainty.standardError
    else { return nil }
    let name = "\(measure.isAbsolute ? "abs " : "")\(measure.quantity?.rawValue ?? measure.name)"
    var text = "  Largest \(name) = \(number(largest)) ± \(number(error)) at \(index)"
    guard let reliability = certainty.reliability else { return text }
    text +=
      "; between two halves of the \(certainty.units) \(unit.rawValue)s, \(reliability.overlap) of the top "
      + "\(Reliability.overlapOf) are the same; reliability \(decimal(reliability.ofAll, 2))"
    let wanted = reliability.unitsForNineTenths
    if reliability.ofAll < 0.9, wanted.isFinite {
      text += " (0.90 would take about \(decimal(wanted.rounded(.up), 0)) \(unit.rawValue)s)"
    }
    return text
  }

  /// "0.002345", "1.23e-07"; 0 is "0.000000".
  private static func number(_ value: Double) -> String {
    if value == 0 { return decimal(0, 6) }
    return abs(value) < 1e-4 ? scientific(value, digits: 3) : decimal(value, 6)
  }
}
