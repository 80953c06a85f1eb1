import JSON

/// Text of others as it stands in HTML, between tags as well as in quoted attributes: nothing in it is markup, and what
/// would not be seen, or would turn the order of what stands around it, is shown.
package func html(_ text: String) -> String {
  var escaped = ""
  for scalar in text.unicodeScalars {
    switch scalar {
    case "&": escaped += "&amp;"
    case "<": escaped += "&lt;"
    case ">": escaped += "&gt;"
    case "\"": escaped += "&quot;"
    case "'": escaped += "&#39;"
    default: escaped += shown(scalar)
    }
  }
  return escaped
}

/// Control characters as their pictures, and those that mark directions and lines as their numbers: ↵, ␀, ⟨U+202E⟩. The
/// page's script does the same with text that it shows.
private func shown(_ scalar: Unicode.Scalar) -> String {
  switch scalar.value {
  // Most fonts have arrows.
  case 0x09: "⇥"
  case 0x0a: "↵"
  case 0..<0x20: String(Unicode.Scalar(0x2400 + scalar.value)!)
  case 0x7f: "\u{2421}"
  case 0x80..<0xa0, 0x61c, 0x200b, 0x200e, 0x200f, 0x2028...0x202e, 0x2060...0x2069, 0xfeff:
    "⟨U+\(hexadecimal(scalar.value))⟩"
  default: String(scalar)
  }
}

private func hexadecimal(_ value: UInt32) -> String {
  let digits = String(value, radix: 16, uppercase: true)
  return String(repeating: "0", count: max(0, 4 - digits.count)) + digits
}

/// JSON as it stands in a script element: no text in it, such as `</script` or `<!--`, ends the element.
package func inScript(_ json: String) -> String { json.replacing("<", with: "\\u003c") }

/// A number of JSON, which has none that are not finite: null.
package func jsonNumber(_ value: Double, areFloat32: Bool = true) -> String {
  guard value.isFinite else { return "null" }
  let text = areFloat32 ? "\(Float(value))" : "\(value)"
  return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
}
