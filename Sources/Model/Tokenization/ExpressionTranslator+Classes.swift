// Characters, the sets that stand for many, and classes of them.
extension ExpressionTranslator {
  // MARK: Characters

  /// What `\s` and its like stand for; nil where `scalar` is none of their letters.
  mutating func characterSet(_ scalar: Unicode.Scalar) throws -> (items: String, isNegated: Bool)? {
    switch scalar {
    case "s", "S": return (CharacterSets.space, scalar == "S")
    case "d", "D": return (CharacterSets.items(of: ["Nd"]), scalar == "D")
    case "w", "W": return (CharacterSets.word, scalar == "W")
    case "h", "H": return ("0-9a-fA-F", scalar == "H")
    case "p", "P":
      guard take("{") else { throw refusal(of: "a property without braces") }
      let isNegated = take("^") != (scalar == "P")
      var name = ""
      while let scalar = next, scalar != "}" {
        name.unicodeScalars.append(scalar)
        position += 1
      }
      guard take("}"), let items = CharacterSets.items(ofProperty: name) else {
        throw refusal(of: "the property \(quoted(name.utf8))")
      }
      return (items, isNegated)
    default: return nil
    }
  }

  /// The character that a backslash and `scalar` stand for.
  mutating func escapedLiteral(_ scalar: Unicode.Scalar) throws -> Unicode.Scalar {
    switch scalar {
    case "t": return "\t"
    case "n": return "\n"
    case "r": return "\r"
    case "f": return "\u{c}"
    case "v": return "\u{b}"
    case "a": return "\u{7}"
    case "e": return "\u{1b}"
    case "u": return try hexadecimal(digits: 4)
    case "x":
      guard take("{") else {
        let value = try hexadecimal(digits: 2)
        // Two digits are a byte, which is no character beyond ASCII.
        guard value.isASCII else { throw refusal(of: "a byte") }
        return value
      }
      var digits = 0
      while position + digits < input.count, input[position + digits] != "}" { digits += 1 }
      let value = try hexadecimal(digits: digits)
      position += 1
      return value
    case "0":
      var value: UInt32 = 0
      for _ in 0..<2 {
        guard let digit = next, ("0"..."7").contains(digit) else { break }
        value = value * 8 + digit.value - 0x30
        position += 1
      }
      return Unicode.Scalar(value)!
    case "1"..."9", "A"..."Z", "a"..."z": throw refusal(of: "\\\(scalar)")
    default: return scalar
    }
  }

  private mutating func hexadecimal(digits: Int) throws -> Unicode.Scalar {
    let end = position + digits
    guard end <= input.count, (1...6).contains(digits),
      input[position..<end].allSatisfy({ $0.properties.isASCIIHexDigit }),
      let value = UInt32(String(String.UnicodeScalarView(input[position..<end])), radix: 16),
      let scalar = Unicode.Scalar(value)
    else { throw refusal(of: "a character's number of this form") }
    position = end
    return scalar
  }

  /// A character as PCRE2 spells it, in a class and outside.
  static func literal(_ scalar: Unicode.Scalar) -> String {
    switch scalar {
    case "0"..."9", "A"..."Z", "a"..."z": "\(scalar)"
    default: "\\x{\(String(scalar.value, radix: 16))}"
    }
  }

  // MARK: Classes

  /// A class as an atom of PCRE2; and its items where it is no more than these.
  mutating func characterClass() throws -> (atom: String, items: String?) {
    guard depth < 100 else { throw refusal(of: "classes nested more than 100 deep") }
    depth += 1
    defer { depth -= 1 }
    let isNegated = take("^")
    let (atom, items) = try classContent()
    guard isNegated else { return (atom, items) }
    return (items.map { "[^\($0)]" } ?? "(?:(?!\(atom))(?s:.))", nil)
  }

  private mutating func classContent() throws -> (atom: String, items: String?) {
    var items = ""
    // What can be no item: negated sets, and classes that are more than items.
    var others: [String] = []
    var isFirst = true
    while isFirst || next != "]" {
      defer { isFirst = false }
      let scalar = try takeNext()
      if scalar == "[" {
        if next == ":" { throw refusal(of: "a POSIX bracket") }
        let inner = try characterClass()
        if let innerItems = inner.items {
          items += innerItems
        } else {
          try refuseWhereCaseIsIgnored()
          others.append(inner.atom)
        }
      } else if scalar == "&", take("&") {
        try refuseWhereCaseIsIgnored()
        let left = Self.union(items, others)
        let right = try classContent()
        return ("(?:(?=\(left))\(right.atom))", nil)
      } else if scalar == "\\", let set = try setInClass() {
        if set.isNegated { others.append("[^\(set.items)]") } else { items += set.items }
      } else {
        items += try range(from: scalar)
      }
    }
    position += 1
    return (Self.union(items, others), others.isEmpty ? items : nil)
  }

  private func refuseWhereCaseIsIgnored() throws {
    if ignoresCase { throw refusal(of: "a class of classes where case is ignored") }
  }

  private mutating func setInClass() throws -> (items: String, isNegated: Bool)? {
    let set = try characterSet(try takeNext())
    if set == nil { position -= 1 }
    return set
  }

  /// A character, or a range of them where a hyphen follows that does not end the class.
  private mutating func range(from scalar: Unicode.Scalar) throws -> String {
    let first = try literalInClass(scalar)
    guard next == "-", position + 1 < input.count, input[position + 1] != "]" else { return Self.literal(first) }
    position += 1
    let second = try takeNext()
    guard second != "[" else { throw refusal(of: "a range that ends in a class") }
    let last = try literalInClass(second)
    guard first <= last else { throw refusal(of: "a range of nothing") }
    return "\(Self.literal(first))-\(Self.literal(last))"
  }

  private mutating func literalInClass(_ scalar: Unicode.Scalar) throws -> Unicode.Scalar {
    guard scalar == "\\" else { return scalar }
    let escaped = try takeNext()
    return escaped == "b" ? "\u{8}" : try escapedLiteral(escaped)
  }

  private static func union(_ items: String, _ others: [String]) -> String {
    let parts = (items.isEmpty ? [] : ["[\(items)]"]) + others
    switch parts.count {
    case 0: return "(?!)"
    case 1: return parts[0]
    default: return "(?:\(parts.joined(separator: "|")))"
    }
  }
}
