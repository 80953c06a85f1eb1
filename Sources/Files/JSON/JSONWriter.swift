extension JSON {
  /// An object of members whose values are JSON, in their order.
  public static func object(_ members: [(String, String)]) -> String {
    "{\(members.map { "\(quote($0)):\($1)" }.joined(separator: ","))}"
  }

  /// Values that are JSON already.
  public static func array(_ elements: [String]) -> String { "[\(elements.joined(separator: ","))]" }

  /// The shortest text that reads back as the same number; null for what is none, as JSON knows no NaN and no infinity.
  public static func number(_ value: Double?) -> String { value.map { $0.isFinite ? "\($0)" : "null" } ?? "null" }

  /// `text` as a JSON string, quotes included.
  public static func quote(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case "\u{0}"..."\u{1f}":
        let digits = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}
