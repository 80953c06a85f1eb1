import JSON
import SystemIO
import Testing

@Suite struct JSONParserTests {
  @Test(arguments: [
    "", "{", "[1,]", "{\"a\":1,}", "{\"a\" 1}", "01", "1.", "-", "+1", "nul", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"",
    "\"\\udc00\"", "\"a", "\"\u{1}\"", "1 2", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "1e999", "{1:2}",
  ])
  func refuses(_ text: String) {
    #expect(throws: Failure.self) { try JSON(parsing: Array(text.utf8)) }
  }

  /// Python's json writes them; safetensors headers and tokenizers must not.
  @Test(arguments: ["NaN", "Infinity", "-Infinity", "[1, NaN]", "1e999"]) func nonfiniteNumbers(_ text: String) throws {
    #expect(throws: Failure.self) { try JSON(parsing: Array(text.utf8)) }
    let json = try JSON(parsing: Array(text.utf8), allowsNonfinite: true)
    let value = json.elements?.last ?? json
    let number = try #require(value.number)
    #expect(!number.isFinite && number.isNaN == text.contains("NaN") && (number < 0) == text.hasPrefix("-"))
  }

  @Test(arguments: ["Nan", "nan", "+Infinity", "Infinit", "- Infinity", "-NaN", "INF"]) func noNumbers(_ text: String) {
    #expect(throws: Failure.self) { try JSON(parsing: Array(text.utf8), allowsNonfinite: true) }
  }

  @Test func refusesInvalidUTF8() {
    #expect(throws: Failure.self) { try JSON(parsing: [0x22, 0xff, 0x22]) }
    #expect(throws: Failure.self) { try JSON(parsing: [0x22, 0xc0, 0xaf, 0x22]) }
  }

  @Test func refusesDeepNesting() {
    let deep = { (n: Int) in
      Array(repeating: UInt8(ascii: "["), count: n) + Array(repeating: UInt8(ascii: "]"), count: n)
    }
    #expect(throws: Never.self) { try JSON(parsing: deep(60)) }
    #expect(throws: Failure.self) { try JSON(parsing: deep(100_000)) }
  }

  @Test func readsValues() throws {
    let json = try JSON(parsing: Array(#" {"a": [1, -2.5e1, true, null], "b": {"c": "x\n\u00e9\ud83d\ude00"}} "#.utf8))
    #expect(json["a"]?.elements == [.integer(1), .double(-25), .bool(true), .null])
    #expect(json["b"]?["c"]?.text == "x\n\u{e9}\u{1f600}")
    #expect(json["missing"] == nil)
  }

  /// Two spellings of é are two keys, as in a vocabulary they are two tokens.
  @Test func keysAreBytes() throws {
    let json = try JSON(parsing: Array("{\"\u{e9}\":1,\"e\u{301}\":2}".utf8))
    #expect(json.members?.map(\.value) == [.integer(1), .integer(2)])
  }

  @Test(arguments: ["plain", "quote \" backslash \\ newline \n tab \t nul \u{0} é 😀"])
  func quotingRoundTrips(_ text: String) throws {
    #expect(try JSON(parsing: Array(JSON.quote(text).utf8)).text == text)
  }
}
