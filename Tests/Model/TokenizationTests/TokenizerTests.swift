import JSON
import SystemIO
import TestSupport
import Testing
import Tokenization

/// Against what Hugging Face tokenizers made of the same files and texts (make_fixtures.py).
@Suite struct TokenizerTests {
  @Test("Every spelling of a tokenizer gives the recorded ids", arguments: ["strings", "pairs", "split"])
  func recordedIDs(folder: String) throws {
    try expectAgreement(try Tokenizer(path: "\(fixtures)/\(folder)"), try Case.read("\(fixtures)/cases.json"))
  }

  @Test func readsTheFileItself() throws {
    let file = try Tokenizer(path: "\(fixtures)/pairs/tokenizer.json")
    let folder = try Tokenizer(path: "\(fixtures)/pairs/")
    #expect(file.contentHash == folder.contentHash)
    #expect(file.contentHash != (try Tokenizer(path: "\(fixtures)/strings")).contentHash)
    try expectAgreement(file, try Case.read("\(fixtures)/cases.json"))
  }

  @Test("merges.txt without a version line, and with carriage returns", arguments: [false, true])
  func plainMerges(hasCarriageReturns: Bool) throws {
    let folder = try TemporaryFolder()
    for name in ["vocab.json", "tokenizer_config.json"] {
      try folder.write(try readFile("\(fixtures)/split/\(name)"), to: name)
    }
    let merges = try text(of: "\(fixtures)/split/merges.txt")
    let lines = merges.split(separator: "\n").dropFirst()
    try folder.write(lines.joined(separator: hasCarriageReturns ? "\r\n" : "\n").utf8, to: "merges.txt")
    try expectAgreement(try Tokenizer(path: folder.path), try Case.read("\(fixtures)/cases.json"))
  }

  @Test func variants() throws {
    let cases = try Case.read("\(fixtures)/cases.json")
    let variants = try #require(try JSON(parsing: try readFile("\(fixtures)/variants.json")).elements)
    #expect(variants.count >= 5)
    for variant in variants {
      let folder = try TemporaryFolder()
      let path = try folder.write(serialized(try #require(variant["tokenizer"])).utf8, to: "tokenizer.json")
      let ids = try #require(variant["ids"]?.elements).map { ($0.elements ?? []).compactMap { $0.int.map(Int32.init) } }
      #expect(ids != cases.map(\.ids), "\(variant["name"]?.text ?? "") changes nothing")
      try expectAgreement(try Tokenizer(path: path), zip(cases, ids).map { Case(text: $0.text, ids: $1) })
    }
  }

  /// A word may be remembered from before: the second time must give the same.
  @Test func repeatedWords() throws {
    let tokenizer = try Tokenizer(path: "\(fixtures)/strings")
    let cases = try Case.read("\(fixtures)/cases.json")
    try expectAgreement(tokenizer, cases)
    try expectAgreement(tokenizer, cases.reversed())
  }

  @Test("More words than are remembered at once")
  func manyWords() throws {
    let words = (0..<70_000).map { number -> [UInt8] in
      var rest = number
      return (0..<4).map { _ in
        defer { rest /= 26 }
        return UInt8(ascii: "a") + UInt8(rest % 26)
      }
    }
    let tokenizer = try Tokenizer(path: "\(fixtures)/strings")
    let first = try words.map { try tokenizer.encode($0) }
    let second = try words.reversed().map { try tokenizer.encode($0) }
    #expect(first == second.reversed())
    #expect(Set(first).count == words.count)
  }

  @Test func largestID() throws {
    let ids = try Case.read("\(fixtures)/cases.json").flatMap(\.ids)
    #expect(try Tokenizer(path: "\(fixtures)/strings").largestID == ids.max())
  }

  @Test func refusesBytesThatAreNotUTF8() throws {
    let tokenizer = try Tokenizer(path: "\(fixtures)/strings")
    #expect(throws: Failure(.malformed, "not UTF-8: byte 4: found 0xed")) {
      try tokenizer.encode(Array("abc".utf8) + [0xed, 0xa0, 0x80])
    }
  }

  // MARK: The padding token

  @Test func padTokenOfTheConfiguration() throws {
    let tokenizer = try Tokenizer(path: "\(fixtures)/split")
    #expect(try tokenizer.padID() == (try tokenizer.encode(Array("<|start|>".utf8))[0]))
  }

  @Test func padTokenOfTheClass() throws {
    let tokenizer = try Tokenizer(path: "\(fixtures)/strings")
    #expect(try tokenizer.padID() == (try tokenizer.encode(Array("<|endoftext|>".utf8))[0]))
  }

  @Test("As transformers adds it to the vocabulary")
  func padTokenThatTheVocabularyLacks() throws {
    let folder = try TemporaryFolder()
    try folder.write(#"{"pad_token":"<|nothing|>"}"#.utf8, to: "tokenizer_config.json")
    try folder.write(try readFile("\(fixtures)/strings/tokenizer.json"), to: "tokenizer.json")
    let tokenizer = try Tokenizer(path: folder.path)
    #expect(try tokenizer.padID() == 610)
    #expect(tokenizer.largestID == 610)
  }

  @Test(arguments: [
    ("{}", "tokenizer.json: no token to pad with: expected pad_token in "),
    (#"{"pad_token":null}"#, "or a token <|endoftext|>"),
  ])
  func missingPadToken(configuration: String, message: String) throws {
    let folder = try TemporaryFolder()
    try folder.write(configuration.utf8, to: "tokenizer_config.json")
    try folder.write(
      try replacing("<|endoftext|>", by: "<|end|>", in: try text(of: "\(fixtures)/strings/tokenizer.json")).utf8,
      to: "tokenizer.json")
    let tokenizer = try Tokenizer(path: folder.path)
    let failure = try #require(throws: Failure.self) { try tokenizer.padID() }
    #expect(failure.kind == .malformed)
    #expect(failure.description.contains(message), "\(failure)")
  }
}
