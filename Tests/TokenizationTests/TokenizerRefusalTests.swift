import SystemIO
import TestSupport
import Testing
import Tokenization

/// What this package does not implement, and what is damaged, is refused by name.
@Suite struct TokenizerRefusalTests {
  /// A change to tokenizer.json, and the end of the message that follows.
  static let changes: [(old: String, new: String, message: String)] = [
    (#""type":"NFC""#, #""type":"NFKC""#, #"normalizer.type: expected "NFC" or no normalizer, found "NFKC""#),
    (
      #"{"type":"NFC"}"#, #"{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Lowercase"}]}"#,
      #"normalizer.type: expected "NFC" or no normalizer, found "Lowercase""#
    ),
    (#""type":"BPE""#, #""type":"Unigram""#, #"model.type: expected "BPE", found "Unigram""#),
    (#""dropout":null"#, #""dropout":0.1"#, "model.dropout: expected none, found 0.1"),
    (
      #""continuing_subword_prefix":null"#, #""continuing_subword_prefix":"@@""#,
      #"model.continuing_subword_prefix: expected none, found "@@""#
    ),
    (
      #""end_of_word_suffix":null"#, #""end_of_word_suffix":"</w>""#,
      #"model.end_of_word_suffix: expected none, found "</w>""#
    ),
    (#""ignore_merges":false"#, #""ignore_merges":1"#, "model.ignore_merges: expected true or false, found 1"),
    (
      #""pre_tokenizer":{"type":"Sequence""#, #""pre_tokenizer":{"type":"Whitespace""#,
      #"pre_tokenizer.type: expected Qwen2's "Sequence" of Split and ByteLevel, found "Whitespace""#
    ),
    (
      #"[{"type":"Split""#, #"[{"type":"Digits"},{"type":"Split""#,
      #"pre_tokenizer.pretokenizers: expected Qwen2's Split and ByteLevel, found ["Digits", "Split", "ByteLevel"]"#
    ),
    (#"|\\p{N}|"#, #"|\\p{N}{1,3}|"#, #"|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+""#),
    (#""Isolated""#, #""Removed""#, #"pre_tokenizer Split.behavior: expected "Isolated", found "Removed""#),
    (#""invert":false"#, #""invert":true"#, "pre_tokenizer Split.invert: expected false, found true"),
    (
      #""add_prefix_space":false"#, #""add_prefix_space":true"#,
      "pre_tokenizer ByteLevel.add_prefix_space: expected false, found true"
    ),
    (
      #""use_regex":false"#, #""no_regex":false"#, "pre_tokenizer ByteLevel.use_regex: expected false, found none"
    ),
    (#""a":64,"#, #""a":-64,"#, #"vocabulary: token "a": expected an id from 0 to 2147483647"#),
    (#""a":64,"#, #""a":"64","#, #"vocabulary: token "a": expected an id from 0 to 2147483647"#),
    (#""a":64,"#, #""a":64,"a":64,"#, #"not JSON: duplicate key "a""#),
    (#""a":64,"#, "", #"is not in the vocabulary"#),
    (#""vocab":{"#, #""vocabulary":{"#, "vocabulary: expected an object of ids"),
    (#""merges":["#, #""merges":["ab","#, #"model.merges[0]: expected two tokens with a space between, found "ab""#),
    (
      #""merges":["#, #""merges":["a b c","#,
      #"model.merges[0]: expected two tokens with a space between, found "a b c""#
    ),
    (#""merges":["#, #""merges":[["a"],"#, #"model.merges[0]: expected "a b" or ["a", "b"], found ["a"]"#),
    (#""merges":["#, #""merges":["z z","#, #"model.merges[0]: token "zz" is not in the vocabulary"#),
    (#""content":"<word>""#, #""content":"b""#, #"added token "b": expected the vocabulary's id 65, found 603"#),
    (
      #""content":"<word>","single_word":true"#, #""content":"<word>","single_word":1"#,
      "single_word: expected true or false, found 1"
    ),
    (#""content":"<word>""#, #""text":"<word>""#, "added token without content"),
    (
      #""id":603"#, #""id":607"#,
      #"added token "<word>": expected the id 603, which Hugging Face tokenizers give it, found 607"#
    ),
    (#""content":"<word>""#, #""content":"<left>""#, #"added token "<left>" stands there twice"#),
    (#""id":603"#, #""id":-603"#, #"added token "<word>": expected an id from 0 to 2147483647"#),
  ]

  @Test(arguments: changes.indices)
  func refuses(index: Int) throws {
    let change = Self.changes[index]
    let folder = try TemporaryFolder()
    let original = try text(of: "\(fixtures)/strings/tokenizer.json")
    let path = try folder.write(
      try replacing(change.old, by: change.new, in: original).utf8, to: "tokenizer.json")
    let failure = try #require(throws: Failure.self) { try Tokenizer(path: path) }
    #expect(failure.kind == .malformed)
    #expect(failure.description.hasPrefix("\(path): "), "\(failure)")
    #expect(failure.description.hasSuffix(change.message), "\(failure)")
  }

  @Test("What says how to spell missing bytes matters only where bytes are missing")
  func unknownTokens() throws {
    let folder = try TemporaryFolder()
    let unknown = try replacing(
      #""unk_token":null"#, by: #""unk_token":"!""#, in: try text(of: "\(fixtures)/strings/tokenizer.json"))
    let cases = try Case.read("\(fixtures)/cases.json")
    try expectAgreement(try Tokenizer(path: try folder.write(unknown.utf8, to: "tokenizer.json")), cases)
    // "!" is the first entry of the vocabulary; nothing was merged with it often enough to come into a merge.
    let incomplete = try replacing(#"{"!":0,"#, by: "{", in: unknown)
    let path = try folder.write(incomplete.utf8, to: "tokenizer.json")
    let failure = try #require(throws: Failure.self) { try Tokenizer(path: path) }
    #expect(
      failure.description
        == "\(path): model.unk_token: expected none (there is no token for byte 0x21), found \"!\"")
  }

  @Test func refusesAnotherKindOfModelBeforeItsVocabulary() throws {
    let folder = try TemporaryFolder()
    let unigram = #"{"model":{"type":"Unigram","vocab":[["a",-1.5]]}}"#
    let path = try folder.write(unigram.utf8, to: "tokenizer.json")
    #expect(throws: Failure(.malformed, "\(path): model.type: expected \"BPE\", found \"Unigram\"")) {
      try Tokenizer(path: path)
    }
  }

  @Test func refusesAnotherTokenizerClass() throws {
    let folder = try TemporaryFolder()
    for name in ["vocab.json", "merges.txt"] { try folder.write(try readFile("\(fixtures)/split/\(name)"), to: name) }
    let configuration = try text(of: "\(fixtures)/split/tokenizer_config.json")
    let other = try replacing("Qwen2Tokenizer", by: "GPT2Tokenizer", in: configuration)
    let path = try folder.write(other.utf8, to: "tokenizer_config.json")
    #expect(
      throws: Failure(
        .malformed, "\(path): tokenizer_class: expected \"Qwen2Tokenizer\" or none, found \"GPT2Tokenizer\"")
    ) { try Tokenizer(path: folder.path) }
  }

  @Test func namesTheLineOfABadMerge() throws {
    let folder = try TemporaryFolder()
    try folder.write(try readFile("\(fixtures)/split/vocab.json"), to: "vocab.json")
    let path = try folder.write("#version: 0.2\na b\n".utf8, to: "merges.txt")
    #expect(throws: Failure(.malformed, "\(path): line 2: token \"ab\" is not in the vocabulary")) {
      try Tokenizer(path: folder.path)
    }
  }

  @Test func namesWhatIsMissing() throws {
    let folder = try TemporaryFolder()
    let failure = try #require(throws: Failure.self) { try Tokenizer(path: folder.path) }
    #expect(failure.kind == .cannotOpen)
    #expect(failure.description.hasSuffix("expected tokenizer.json, or vocab.json and merges.txt"))
    #expect(throws: Failure(.cannotOpen, "/nowhere/tokenizer.json: cannot open: No such file or directory")) {
      try Tokenizer(path: "/nowhere/tokenizer.json")
    }
  }
}
