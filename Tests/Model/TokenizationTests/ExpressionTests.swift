import JSON
import SystemIO
import TestSupport
import Testing
import Tokenization

/// Regular expressions and the behaviours of Split, against what Hugging Face tokenizers split the same texts into.
@Suite struct ExpressionTests {
  private static let recorded: JSON = (try? JSON(parsing: readFile("\(fixtures)/expressions.json"))) ?? .null
  private static let texts = recorded["texts"]?.elements?.compactMap(\.utf8) ?? []
  private static let splits = recorded["splits"]?.elements ?? []

  @Test func casesAreThere() {
    #expect(Self.splits.count > 100)
    #expect(Self.texts.count > 25)
  }

  private func splitter(_ expression: String, behavior: String = "Isolated") throws -> PreTokenizer {
    let json = #"{"type":"Split","pattern":{"Regex":\#(JSON.quote(expression))},"behavior":"\#(behavior)"}"#
    return try PreTokenizer(JSON(parsing: Array(json.utf8)))
  }

  private func parts(of text: [UInt8], _ splitter: PreTokenizer) throws -> [[UInt8]] {
    var parts: [[UInt8]] = []
    try text.withUnsafeBytes { try splitter.forEachWord(of: $0, isAtStart: true) { parts.append(Array($0)) } }
    return parts
  }

  @Test(arguments: Self.splits.indices)
  func splitsAsRecorded(index: Int) throws {
    let split = Self.splits[index]
    let json = try #require(split["pre_tokenizer"])
    let splitter = try PreTokenizer(json)
    let name = serialized(json)
    for (text, parts) in zip(Self.texts, try #require(split["parts"]?.elements)) {
      let expected = parts.elements?.compactMap(\.utf8)
      let found = try self.parts(of: text, splitter)
      #expect(found == expected, "\(name) of \(String(decoding: text, as: UTF8.self).debugDescription)")
    }
  }

  @Test("Sets have the characters that they have in Hugging Face tokenizers, whichever Unicode PCRE2 knows")
  func sets() throws {
    let sets = try #require(Self.recorded["sets"]?.elements)
    #expect(sets.count > 25)
    for set in sets {
      let expression = set["expression"]?.text ?? ""
      let splitter = try splitter(expression, behavior: "Removed")
      var (count, hash): (Int, UInt64) = (0, 0xcbf2_9ce4_8422_2325)
      for start in stride(from: UInt32(0), to: 0x11_0000, by: 256) {
        let scalars = (start..<start + 256).compactMap(Unicode.Scalar.init)
        let text = Array(String(String.UnicodeScalarView(scalars)).utf8)
        let left = Set(try parts(of: text, splitter).flatMap { String(decoding: $0, as: UTF8.self).unicodeScalars })
        for scalar in scalars where !left.contains(scalar) {
          count += 1
          hash = (hash ^ UInt64(scalar.value)) &* 0x100_0000_01b3
        }
      }
      #expect(count == set["count"]?.int, "\(expression)")
      #expect(String(hash) == set["hash"]?.text, "\(expression)")
    }
  }

  /// One that is known is written by hand; the same expression in a group is not known.
  @Test(
    "Both ways of an expression that is known split alike",
    arguments: [WordSplitter.gpt2Expression, WordSplitter.qwen2Expression, WordSplitter.llama3Expression])
  func knownExpressions(expression: String) throws {
    let (byHand, general) = (try splitter(expression), try splitter("(?:\(expression))"))
    for texts in [Self.texts, try Case.read("\(fixtures)/cases.json").map(\.text)] {
      for text in texts { #expect(try parts(of: text, byHand) == (try parts(of: text, general))) }
    }
    // Every character that a class may have.
    for start in stride(from: UInt32(0), to: 0x3_2000, by: 512) {
      let scalars = (start..<start + 512).compactMap(Unicode.Scalar.init)
      let text = scalars.map { "a\($0)1\($0) \($0)\n" }.joined()
      #expect(try parts(of: Array(text.utf8), byHand) == (try parts(of: Array(text.utf8), general)), "from \(start)")
    }
  }

  @Test(
    "What is no expression, or not implemented, is refused by name",
    arguments: [
      ("(a", "a group without its end"), ("a)", "an unmatched )"), ("[a", "an expression that ends here"),
      (#"(a)\1"#, #"\1"#), (#"(?<n>a)"#, "a group of this kind"), (#"\p{Han}"#, #"the property "Han""#),
      ("[[:alpha:]]", "a POSIX bracket"), ("(?x:a)", "a group of this kind"), ("*a", "a quantifier of nothing"),
      (#"\K"#, #"\K"#), (#"\xff"#, "a byte"), (#"\x{110000}"#, "a character's number of this form"),
      ("(?i)[a&&b]", "a class of classes where case is ignored"),
      ("a(b(?i)c[[^d]e])", "a class of classes where case is ignored"), ("[z-a]", "a range of nothing"),
      ("(?<=a+)b", "lookbehind"), (String(repeating: "(", count: 200), "nested"),
      (String(repeating: "[", count: 200), "nested"), ("a{9,1}", "numbers out of order"),
    ])
  func refuses(expression: String, message: String) throws {
    let failure = try #require(throws: Failure.self) { try splitter(expression) }
    #expect(failure.kind == .malformed)
    #expect(
      failure.description.hasPrefix("pre_tokenizer.pattern: expression \(JSON.quote(expression)): "), "\(failure)")
    #expect(failure.description.contains(message), "\(failure)")
  }

  @Test func expressionsWithoutEndAreGivenUp() throws {
    let splitter = try splitter("(a|aa)+$")
    let failure = try #require(throws: Failure.self) {
      try parts(of: Array(String(repeating: "a", count: 5_000).utf8) + [0x62], splitter)
    }
    #expect(failure.kind == .malformed)
    #expect(failure.description.contains("no answer for 5001 bytes of text"), "\(failure)")
  }

  @Test("A match of megabytes, for which machine code has not the stack")
  func longMatches() throws {
    let splitter = try splitter("(?:ab|[^ ])+")
    let text = Array(String(repeating: "abc", count: 300_000).utf8) + [0x20, 0x61]
    #expect(try parts(of: text, splitter).map(\.count) == [900_000, 1, 1])
  }
}
