import JSON
import SystemIO
import Testing

/// Files of a JSON object, and what people have in their place.
@Suite struct JSONFileTests {
  private func read(_ bytes: [UInt8], allowsNonfinite: Bool = false) throws -> JSON {
    try bytes.withUnsafeBytes { try JSON(file: $0, allowsNonfinite: allowsNonfinite) }
  }

  @Test func objects() throws {
    #expect(try read(Array("{\"a\": 1}\n".utf8))["a"] == .integer(1))
    #expect(try read(Array("{\"a\": NaN}".utf8), allowsNonfinite: true)["a"]?.number?.isNaN == true)
    #expect(throws: Failure.self) { try read(Array("{\"a\": NaN}".utf8)) }
  }

  @Test(arguments: [
    ("", "expected JSON, found an empty file"),
    ("\u{feff}{}", "expected JSON, found a byte-order mark before it: tail -c +4 takes it away"),
    ("{\"a\": [1", "cut short: it does not end in \"}\" (not JSON: byte 8: expected ',' or ']', found the end)"),
    ("{\"a\" 1}", "not JSON: byte 5: expected ':', found '1'"),
    ("<html>", "expected JSON, found a web page, as a download without permission leaves it"),
    (
      "version https://git-lfs.github.com/spec/v1",
      "expected JSON, found a Git LFS pointer: the file itself is yet to be "
        + "fetched, with git lfs pull"
    ),
  ])
  func others(_ text: String, _ message: String) {
    #expect(throws: Failure(.malformed, message)) { try read(Array(text.utf8)) }
  }
}
