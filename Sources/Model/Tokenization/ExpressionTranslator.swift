import SystemIO

/// Writes an expression in PCRE2's syntax that matches what `expression` matches in Hugging Face tokenizers, which read
/// Ruby's syntax with Oniguruma: there `(?m)` is for `.`, `^` and `$` know lines, `\s`, `\d` and `\w` are Unicode's, and
/// classes nest. A construct that is not translated is refused by name.
struct ExpressionTranslator {
  let input: [Unicode.Scalar]
  var position = 0
  var depth = 0
  /// Where case is ignored, classes in classes would be others: Oniguruma folds what comes out of all of them.
  var ignoresCase = false

  static func translate(_ expression: String) throws -> String {
    var translator = ExpressionTranslator(input: Array(expression.unicodeScalars))
    let translation = try translator.alternatives()
    guard translator.position == translator.input.count else { throw translator.refusal(of: "an unmatched )") }
    return translation
  }

  private init(input: [Unicode.Scalar]) { self.input = input }

  var next: Unicode.Scalar? { position < input.count ? input[position] : nil }

  mutating func take(_ scalar: Unicode.Scalar) -> Bool {
    guard next == scalar else { return false }
    position += 1
    return true
  }

  mutating func takeNext() throws -> Unicode.Scalar {
    guard let scalar = next else { throw refusal(of: "an expression that ends here") }
    position += 1
    return scalar
  }

  func refusal(of construct: String) -> Failure {
    let expression = String(String.UnicodeScalarView(input))
    return Failure(
      .malformed, "expression \(quoted(expression.utf8)): character \(position): cannot read \(construct)")
  }

  // MARK: Outside of classes

  /// Up to the end, or to the parenthesis that closes the group.
  private mutating func alternatives() throws -> String {
    // Groups in groups are read by as many calls.
    guard depth < 100 else { throw refusal(of: "groups nested more than 100 deep") }
    depth += 1
    defer { depth -= 1 }
    var output = ""
    var openOptions = 0
    while let scalar = next, scalar != ")" {
      position += 1
      switch scalar {
      case "|", "^", "$": output.unicodeScalars.append(scalar)
      case "(":
        let group = try group()
        if group.isOption { openOptions += 1 }
        output += group.isOption || group.text.isEmpty ? group.text : try quantified(group.text)
      case "[": output += try quantified(try characterClass().atom)
      case "\\": output += try quantified(try escape())
      case ".": output += try quantified(".")
      case "*", "+", "?": throw refusal(of: "a quantifier of nothing")
      default: output += try quantified(Self.literal(scalar))
      }
    }
    return output + String(repeating: ")", count: openOptions)
  }

  /// - Returns: a group, nothing of a comment; or what opens one for an option, which holds until the group around it
  ///   ends.
  private mutating func group() throws -> (text: String, isOption: Bool) {
    var opening = "("
    let ignoredCase = ignoresCase
    if take("?") {
      switch try takeNext() {
      case ":": opening = "(?:"
      case "=": opening = "(?="
      case "!": opening = "(?!"
      case ">": opening = "(?>"
      case "<" where next == "=" || next == "!": opening = "(?<\(try takeNext())"
      case "#":
        while try takeNext() != ")" {}
        return ("", false)
      default:
        position -= 1
        opening = try options()
        if take(")") { return (opening, true) }
        guard take(":") else { throw refusal(of: "a group of this kind") }
      }
    }
    let inside = try alternatives()
    guard take(")") else { throw refusal(of: "a group without its end") }
    ignoresCase = ignoredCase
    return (opening + inside + ")", false)
  }

  /// `i` and `m-i`; Ruby's m is what PCRE2 calls s.
  private mutating func options() throws -> String {
    var options = ""
    while let scalar = next, scalar != ":", scalar != ")" {
      position += 1
      switch scalar {
      case "i":
        ignoresCase = !options.contains("-")
        options += "i"
      case "-": options += "-"
      case "m": options += "s"
      default: throw refusal(of: "a group of this kind")
      }
    }
    return "(?\(options):"
  }

  /// `atom`, which is one atom of PCRE2, with the quantifiers that follow.
  private mutating func quantified(_ atom: String) throws -> String {
    var atom = atom
    var isQuantified = false
    while let scalar = next {
      guard let quantifier = try quantifier(scalar) else { break }
      // A quantifier of what has one already.
      if isQuantified { atom = "(?:\(atom))" }
      atom += quantifier
      isQuantified = true
    }
    return atom
  }

  private mutating func quantifier(_ scalar: Unicode.Scalar) throws -> String? {
    switch scalar {
    case "*", "+", "?":
      position += 1
      // Only after these is + possessive; after an interval it is another quantifier.
      return "\(scalar)" + (take("?") ? "?" : take("+") ? "+" : "")
    case "{":
      let start = position
      position += 1
      let least = number()
      let hasComma = take(",")
      let most = hasComma ? number() : least
      guard take("}"), least != nil || most != nil else {
        // A brace that opens no interval stands for itself.
        position = start
        return nil
      }
      guard hasComma else { return "{\(least!)}" }
      return "{\(least ?? 0),\(most.map(String.init) ?? "")}" + (take("?") ? "?" : "")
    default: return nil
    }
  }

  private mutating func number() -> Int? {
    let start = position
    var number = 0
    while let digit = next.flatMap({ ("0"..."9").contains($0) ? Int($0.value - 0x30) : nil }) {
      number = min(number * 10 + digit, 1_000_000)
      position += 1
    }
    return position == start ? nil : number
  }

  private mutating func escape() throws -> String {
    let scalar = try takeNext()
    switch scalar {
    case "A", "z", "Z", "G", "R": return "\\\(scalar)"
    case "b":
      let word = CharacterSets.wordAlone
      return "(?:(?<=[\(word)])(?![\(word)])|(?<![\(word)])(?=[\(word)]))"
    case "B":
      let word = CharacterSets.wordAlone
      return "(?:(?<=[\(word)])(?=[\(word)])|(?<![\(word)])(?![\(word)]))"
    case "w": return "[\(CharacterSets.wordAlone)]"
    case "W": return "[^\(CharacterSets.wordAlone)]"
    default:
      if let set = try characterSet(scalar) { return set.isNegated ? "[^\(set.items)]" : "[\(set.items)]" }
      return Self.literal(try escapedLiteral(scalar))
    }
  }
}
