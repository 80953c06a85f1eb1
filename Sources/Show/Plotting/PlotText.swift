import Aggregation
import SystemIO

extension String {
  /// With the minus sign of print, as wide as a plus, where a program would write a hyphen.
  var replacingHyphen: String { String(map { $0 == "-" ? "−" : $0 }) }
}

// Numbers as a reader of pictures expects them.

/// "7.90×10⁻⁴": `digits` significant ones; without a power of ten from 0.001 up to 99999.
func plotNumber(_ value: Double, digits: Int = 3) -> String {
  guard value.isFinite else { return value.isNaN ? "none" : value < 0 ? "−∞" : "∞" }
  guard value != 0 else { return "0" }
  let parts = scientific(value, digits: digits).split(separator: "e")
  let exponent = Int(parts[1])!
  if (-3..<5).contains(exponent) {
    return decimal(value, max(0, digits - 1 - exponent)).replacingHyphen
  }
  return String(parts[0]).replacingHyphen + "×" + powerOfTen(exponent)
}

/// "10⁻⁵"
func powerOfTen(_ exponent: Int) -> String {
  let digits = Array("⁰¹²³⁴⁵⁶⁷⁸⁹")
  return "10" + (exponent < 0 ? "⁻" : "")
    + String(exponent.magnitude).map { String(digits[$0.wholeNumberValue!]) }.joined()
}

/// "Gradient (×10⁻⁵)", "Gradient − 1.25 (×10⁻¹³)"
func axisLabel(_ text: String, _ ticks: AxisTicks) -> String {
  var label = text
  if ticks.offset != 0 {
    label += " \(ticks.offset < 0 ? "+" : "−") \(shortest(abs(ticks.offset)))"
  }
  return ticks.exponent == 0 ? label : "\(label)  (×\(powerOfTen(ticks.exponent)))"
}

/// With the fewest digits that tell the number from its neighbours.
private func shortest(_ value: Double) -> String {
  let parts = "\(value)".split(separator: "e")
  let digits = parts[0].hasSuffix(".0") ? parts[0].dropLast(2) : parts[0]
  return digits + (parts.count == 2 ? "×" + powerOfTen(Int(parts[1])!) : "")
}

extension GradientUnit {
  var subject: String { self == .feature ? "SAE Feature" : "Activation" }
  var countedThings: String { self == .feature ? "Features" : "Activation Dimensions" }
  var shortThings: String { self == .feature ? "features" : "dimensions" }
  var indexLabel: String { self == .feature ? "Feature Index" : "Activation Dimension Index" }
}

extension Quantity {
  /// "Gradient"
  var title: String { rawValue.prefix(1).uppercased() + rawValue.dropFirst() }

  /// "Attribution, nats". That gradients are in nats for each unit of what they belong to goes without saying.
  var axisLabel: String { self == .attribution ? "\(title), nats" : title }

  /// With the unit, also where it mostly goes without saying.
  var fullAxisLabel: String { self == .gradient ? "\(title), nats per unit" : axisLabel }

  /// What values below and above zero say.
  var signs: (below: String, above: String) {
    switch self {
    case .gradient: ("increase lowers the loss", "increase raises the loss")
    case .attribution: ("lowers the loss", "raises the loss")
    case .activation: ("negative", "positive")
    }
  }
}

extension PlaceAverages {
  /// Of firing, which has no pictures, what is nearest.
  var quantity: Quantity { measure.quantity ?? .activation }

  /// Whether signs are told apart: not of what cannot be below zero.
  var isSigned: Bool { mode == .mean && !(quantity == .activation && statistics.minimum >= 0) }

  /// "Max |gradient|: 7.90×10⁻⁴   Mean: 3.47×10⁻⁴   Std: 2.99×10⁻⁵"
  var numbers: String {
    [
      ("Max |\(quantity.rawValue)|", statistics.maximumMagnitude), ("Mean", statistics.mean),
      ("Std", statistics.standardDeviation),
    ].map { "\($0): \(plotNumber($1))" }.joined(separator: "    ")
  }

  /// "Total Features: 65,536"
  var total: String { "Total \(unit == .feature ? "Features" : "Dimensions"): \(grouped(values.count))" }
}
