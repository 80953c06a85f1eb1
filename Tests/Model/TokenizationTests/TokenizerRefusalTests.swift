import Glibc
import SystemIO
import TestSupport
import Testing
import Tokenization

/// What this package does not implement, and what is damaged, is refused by name.
@Suite struct TokenizerRefusalTests {
  /// A change to tokenizer.json, and the end of the message that follows.
  static let changes: [(old: String, new: String, message: String)] = [
    (
      #""type":"NFC""#, #""type":"NFKC""#,
      #"normalizer.type: expected "NFC", "Prepend", "Replace" or a "Sequence" of them, found "NFKC""#
    ),
    (
      #"{"type":"NFC"}"#, #"{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"Lowercase"}]}"#,
      #"normalizer.normalizers[1].type: expected "NFC", "Prepend", "Replace" or a "Sequence" of them, found "Lowercase""#
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
      #"pre_tokenizer.type: expected "Split", "Digits", "ByteLevel", "Metaspace" or a "Sequence" of them, found "Whitespace""#
    ),
    (
      #"[{"type":"Split""#, #"[{"type":"ByteLevel"},{"type":"Split""#,
      #"pre_tokenizer.pretokenizers[1].type: expected nothing behind "ByteLevel", found "Split""#
    ),
    (
      #"[{"type":"Split""#, #"[{"type":"Punctuation"},{"type":"Split""#,
      #"pretokenizers[0].type: expected "Split", "Digits", "ByteLevel", "Metaspace" or a "Sequence" of them, found "Punctuation""#
    ),
    (
      #"[{"type":"Split""#, #"[{"type":"Metaspace","replacement":"ab"},{"type":"Split""#,
      #"pretokenizers[0].replacement: expected one character, found "ab""#
    ),
    (
      #"[{"type":"Split""#, #"[{"type":"Metaspace","replacement":"_","prepend_scheme":"last"},{"type":"Split""#,
      #"pretokenizers[0].prepend_scheme: expected "always", "first" or "never", found "last""#
    ),
    (
      #"[{"type":"Split""#,
      #"[{"type":"Metaspace","replacement":"_","prepend_scheme":"first","add_prefix_space":false},{"type":"Split""#,
      #"pretokenizers[0].prepend_scheme: expected "never", as add_prefix_space is false, found "first""#
    ),
    (
      #"{"Regex":"#, #"{"Any":1,"Expression":"#,
      #"pretokenizers[0].pattern: expected {"String": "…"} or {"Regex": "…"}, found an object"#
    ),
    (#"|\\p{N}|"#, #"|\\p{Script=Latin}|"#, #"character 70: cannot read the property "Script=Latin""#),
    (
      #""Isolated""#, #""Kept""#,
      #"behavior: expected "Isolated", "Removed", "MergedWithPrevious", "MergedWithNext" or "Contiguous", found "Kept""#
    ),
    (#""invert":false"#, #""invert":1"#, "pre_tokenizer.pretokenizers[0].invert: expected true or false, found 1"),
    (
      #""decoder":{"type":"ByteLevel""#, #""decoder":{"type":"WordPiece""#,
      #"decoder.type: expected "ByteLevel", "ByteFallback", "Fuse", "Strip", "Replace", "Metaspace" or a "Sequence" of them, found "WordPiece""#
    ),
    (
      #""decoder":{"type":"ByteLevel""#, #""decoder":{"start":-1,"content":" ","type":"Strip""#,
      "decoder.start: expected a count, found -1"
    ),
    (#""unk_token":null"#, #""unk_token":0"#, "model.unk_token: expected a token or none, found 0"),
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
    (
      #""content":"<word>","single_word":true"#, #""content":"<word>","single_word":1"#,
      "single_word: expected true or false, found 1"
    ),
    (#""content":"<word>""#, #""text":"<word>""#, "added token without content"),
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

  @Test("An unknown token that is none of the vocabulary's matters only where bytes are missing")
  func unknownTokens() throws {
    let folder = try TemporaryFolder()
    let unknown = try replacing(
      #""unk_token":null"#, by: #""unk_token":"<unk>""#, in: try text(of: "\(fixtures)/strings/tokenizer.json"))
    let cases = try Case.read("\(fixtures)/cases.json")
    try expectAgreement(try Tokenizer(path: try folder.write(unknown.utf8, to: "tokenizer.json")), cases)
    // "!" is the first entry of the vocabulary; nothing was merged with it often enough to come into a merge.
    let incomplete = try replacing(#"{"!":0,"#, by: "{", in: unknown)
    let path = try folder.write(incomplete.utf8, to: "tokenizer.json")
    let failure = try #require(throws: Failure.self) { try Tokenizer(path: path) }
    #expect(
      failure.description
        == "\(path): model.unk_token: expected a token of the vocabulary, or none, found \"<unk>\"")
  }

  @Test func refusesAnotherKindOfModelBeforeItsVocabulary() throws {
    let folder = try TemporaryFolder()
    let unigram = #"{"model":{"type":"Unigram","vocab":[["a",-1.5]]}}"#
    let path = try folder.write(unigram.utf8, to: "tokenizer.json")
    #expect(throws: Failure(.malformed, "\(path): model.type: expected \"BPE\", found \"Unigram\"")) {
      try Tokenizer(path: path)
    }
  }

  /// Classes that a folder of vocab.json and merges.txt may name, and the end of the message that follows.
  static let classes: [(name: String, message: String)] = [
    (
      "BertTokenizer", #""GPT2Tokenizer", "GPTNeoXTokenizer", "PreTrainedTokenizerFast" or none, found "BertTokenizer""#
    ),
    ("LlamaTokenizer", "LlamaTokenizer reads this tokenizer: expected tokenizer.json in "),
    ("PreTrainedTokenizerFast", "TokenizersBackend reads this tokenizer: expected tokenizer.json in "),
  ]

  @Test(arguments: classes.indices)
  func refusesClass(index: Int) throws {
    let folder = try TemporaryFolder()
    for name in ["vocab.json", "merges.txt"] { try folder.write(try readFile("\(fixtures)/split/\(name)"), to: name) }
    let configuration = try text(of: "\(fixtures)/split/tokenizer_config.json")
    let path = try folder.write(
      try replacing("Qwen2Tokenizer", by: Self.classes[index].name, in: configuration).utf8, to: "tokenizer_config.json"
    )
    let failure = try #require(throws: Failure.self) { try Tokenizer(path: folder.path) }
    #expect(failure.kind == .malformed)
    #expect(failure.description.hasPrefix("\(path): "), "\(failure)")
    #expect(failure.description.contains(Self.classes[index].message), "\(failure)")
  }

  /// Files of a folder, and the end of the message that follows.
  static let configurations: [(files: [String: String], message: String)] = [
    (
      ["tokenizer_config.json": #"{"truncation_side":"up"}"#],
      #"truncation_side: expected "left" or "right", found "up""#
    ),
    (["tokenizer_config.json": #"{"padding_side":null}"#], #"padding_side: expected "left" or "right", found none"#),
    (
      ["tokenizer_config.json": #"{"split_special_tokens":1}"#], "split_special_tokens: expected true or false, found 1"
    ),
    (
      ["tokenizer_config.json": #"{"tokenizer_class":"Qwen2Tokenizer","add_prefix_space":"yes"}"#],
      #"add_prefix_space: expected true or false, found "yes""#
    ),
    (
      ["tokenizer_config.json": #"{"tokenizer_class":"Qwen2Tokenizer","legacy":1}"#],
      "legacy: expected true or false, found 1"
    ),
    (["tokenizer_config.json": #"{"fix_mistral_regex":true}"#], "fix_mistral_regex: expected false, found true"),
    (["tokenizer_config.json": #"{"init_inputs":["a"]}"#], #"init_inputs: expected none, found ["a"]"#),
    (["tokenizer_config.json": #"{"merges":[]}"#], "merges: expected none, found []"),
    (
      ["tokenizer_config.json": #"{"fast_tokenizer_files":["tokenizer.json","tokenizer.4.0.0.json"]}"#],
      #"expected ["tokenizer.json"] or none, found ["tokenizer.json", "tokenizer.4.0.0.json"]"#
    ),
    (
      ["tokenizer_config.json": #"{"auto_map":{"AutoTokenizer":["a.B",null]}}"#],
      #"auto_map.AutoTokenizer: expected none, found ["a.B", none]"#
    ),
    (
      ["tokenizer_config.json": #"{"tokenizer_class":"BertTokenizer"}"#],
      #""GPT2Tokenizer", "GPTNeoXTokenizer", "PreTrainedTokenizerFast" or none, found "BertTokenizer""#
    ),
    (["config.json": #"{"model_type":"bert"}"#], #""qwen3_vl", "qwen3_vl_moe", found "bert""#),
    (
      ["tokenizer_config.json": #"{"eos_token":{"content":"a"}}"#],
      #"eos_token: expected a string or {"__type": "AddedToken", …}, found {"content": "a"}"#
    ),
    (
      ["tokenizer_config.json": #"{"extra_special_tokens":"a"}"#],
      #"extra_special_tokens: expected a list of tokens, found "a""#
    ),
    (
      ["tokenizer_config.json": #"{"extra_special_tokens":[null]}"#],
      #"extra_special_tokens[0]: expected a string or {"__type": "AddedToken", …}, found none"#
    ),
    (
      ["special_tokens_map.json": #"{"additional_special_tokens":[{"content":"a"}]}"#],
      #"special_tokens_map.json: additional_special_tokens[0]: expected a string or {"__type": "AddedToken", …}, found {"content": "a"}"#
    ),
    (
      ["added_tokens.json": #"{"a":"1"}"#],
      #"added_tokens.json: added token "a": expected an id from 0 to 2147483647, found "1""#
    ),
    (
      ["tokenizer_config.json": #"{"added_tokens_decoder":[]}"#],
      "added_tokens_decoder: expected an object of added tokens, found []"
    ),
    (
      ["tokenizer_config.json": #"{"added_tokens_decoder":{"a":{"content":"b"}}}"#],
      #"added token "b": expected an id from 0 to 2147483647"#
    ),
    (["tokenizer_config.json": "[]"], "tokenizer_config.json: expected a JSON object, found []"),
  ]

  @Test("What transformers does with an entry and this package does not", arguments: configurations.indices)
  func refusesConfiguration(index: Int) throws {
    let folder = try TemporaryFolder()
    try folder.write(try readFile("\(fixtures)/strings/tokenizer.json"), to: "tokenizer.json")
    for (name, content) in Self.configurations[index].files { try folder.write(content.utf8, to: name) }
    let failure = try #require(throws: Failure.self) { try Tokenizer(path: folder.path) }
    #expect(failure.kind == .malformed)
    #expect(failure.description.hasPrefix(folder.path), "\(failure)")
    #expect(failure.description.hasSuffix(Self.configurations[index].message), "\(failure)")
  }

  /// A post-processor, and the end of the message that follows.
  static let postProcessors: [(json: String, message: String)] = [
    (#"{"type":"Other"}"#, #""BertProcessing", "RobertaProcessing" or a "Sequence" of them, found "Other""#),
    (
      #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"b"}}],"special_tokens":{"b":{"ids":[1]}}}"#,
      #"post_processor.single: expected the text "A" among its pieces, found none"#
    ),
    (
      #"{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A"}},{"Sequence":{"id":"A"}}]}"#,
      #"single[1]: expected special tokens, and the text "A" once, found {"Sequence": {"id": "A"}}"#
    ),
    (
      #"{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"b"}}]}"#,
      #"post_processor.single[0]: "b" is not among the template's special_tokens"#
    ),
    (
      #"{"type":"RobertaProcessing","cls":["a",-1],"sep":["b",1]}"#,
      "post_processor.cls: expected an id from 0 to 2147483647, found -1"
    ),
    (
      #"{"type":"Sequence","processors":[{"type":"BertProcessing","cls":["a",1],"sep":["b",1]},{"type":"TemplateProcessing"}]}"#,
      #"processors[1].type: expected "ByteLevel" behind what adds tokens, found "TemplateProcessing""#
    ),
  ]

  @Test(arguments: postProcessors.indices)
  func refusesPostProcessor(index: Int) throws {
    let folder = try TemporaryFolder()
    let original = try text(of: "\(fixtures)/strings/tokenizer.json")
    let changed = try replacing(
      #""post_processor":null"#, by: #""post_processor":\#(Self.postProcessors[index].json)"#, in: original)
    let path = try folder.write(changed.utf8, to: "tokenizer.json")
    let failure = try #require(throws: Failure.self) { try Tokenizer(path: path) }
    #expect(failure.kind == .malformed)
    #expect(failure.description.hasSuffix(Self.postProcessors[index].message), "\(failure)")
  }

  @Test(
    "Files that are not what their name says",
    arguments: [
      ("", "expected JSON, found an empty file"),
      (
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 7\n",
        "found a Git LFS pointer: the file itself is yet to be fetched, with git lfs pull"
      ),
      ("\n<!DOCTYPE html>\n<html></html>\n", "found a web page, as a download without permission leaves it"),
      ("<HTML>", "found a web page, as a download without permission leaves it"),
      ("\0\0\0", "found a file of zeros, as an interrupted download leaves it"),
      (
        #"{"model":{"type":"BPE","vocab":{"a":0"#,
        "cut short: it does not end in \"}\" (not JSON: byte 37: expected ',' or '}', found the end)"
      ),
      ("\u{feff}{}", "expected JSON, found a byte-order mark before it: tail -c +4 takes it away"),
    ])
  func refusesOtherContent(content: String, message: String) throws {
    let folder = try TemporaryFolder()
    for name in ["tokenizer.json", "vocab.json"] {
      let path = try folder.write(content.utf8, to: name)
      if name == "vocab.json" {
        try folder.write(try readFile("\(fixtures)/split/merges.txt"), to: "merges.txt")
        #expect(unlink(folder.file("tokenizer.json")) == 0)
      }
      let failure = try #require(throws: Failure.self) { try Tokenizer(path: folder.path) }
      #expect(failure.kind == .malformed)
      #expect(failure.description.hasPrefix("\(path): "), "\(failure)")
      #expect(failure.description.hasSuffix(message), "\(failure)")
    }
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
