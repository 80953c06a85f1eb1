import Glibc
import JSON
import SystemIO

/// A tokenizer as its files describe it, checked: what this package does not implement is refused by name.
struct TokenizerFile {
  let path: String
  var contentHash: String
  var vocabulary: Vocabulary
  var merges: MergeTable
  var ignoresMerges = false
  var normalizes = true
  var addedTokens: [AddedToken] = []
  var padToken: Tokenizer.PadToken

  /// A file beside the tokenizer that is not there changes nothing; one that is there must be right.
  private static let configurationName = "tokenizer_config.json"

  /// - Parameter path: a folder with `tokenizer.json`, or with `vocab.json` and `merges.txt`; or a `tokenizer.json`.
  init(path: String) throws {
    guard isFolder(path) else {
      try self.init(tokenizerJSON: path, folder: path.lastIndex(of: "/").map { String(path[...$0]) } ?? "./")
      return
    }
    let folder = path.hasSuffix("/") ? path : path + "/"
    if exists(folder + "tokenizer.json") {
      try self.init(tokenizerJSON: folder + "tokenizer.json", folder: folder)
    } else if exists(folder + "vocab.json"), exists(folder + "merges.txt") {
      try self.init(vocabularyAndMergesIn: folder)
    } else {
      throw Failure(
        .cannotOpen, "\(path): no tokenizer here: expected tokenizer.json, or vocab.json and merges.txt")
    }
  }

  private init(tokenizerJSON path: String, folder: String) throws {
    self.path = path
    let (json, hash) = try reading(path) { (try JSON(parsing: $0), ContentHash.of($0)) }
    contentHash = hash
    let model = json["model"] ?? .null
    // First of all: another kind of model has another kind of vocabulary.
    try of(path) { try expect(model["type"], at: "model.type", "\"BPE\"") { $0.text == "BPE" } }
    vocabulary = try of(path) { try Vocabulary(model["vocab"] ?? .null) }
    merges = try of(path) { [vocabulary] in try MergeTable(model["merges"] ?? .null, vocabulary) }
    ignoresMerges = model["ignore_merges"]?.boolean ?? false
    (normalizes, addedTokens) = try of(path) { [vocabulary] in
      try Self.check(model: model, vocabulary)
      try Self.check(preTokenizer: json["pre_tokenizer"] ?? .null)
      return (
        try Self.normalizes(json["normalizer"] ?? .null),
        try Self.addedTokens(json["added_tokens"] ?? .null, vocabulary)
      )
    }
    padToken = try Self.padToken(try Self.configuration(folder), folder)
  }

  /// As transformers' Qwen2Tokenizer reads such a folder: the normalizer and the expression are its own.
  private init(vocabularyAndMergesIn folder: String) throws {
    path = folder
    var hash = ContentHash()
    vocabulary = try reading(folder + "vocab.json") {
      hash.update($0)
      return try Vocabulary(JSON(parsing: $0))
    }
    merges = try reading(folder + "merges.txt") { [vocabulary] in
      hash.update($0)
      return try MergeTable(lines: $0, vocabulary)
    }
    let configuration = try Self.configuration(folder)
    if let configuration {
      addedTokens = try of(folder + Self.configurationName) { [vocabulary] in
        try Self.check(configuration)
        return try (configuration["added_tokens_decoder"]?.members ?? []).map { member in
          let id = Int(String(decoding: member.key, as: UTF8.self)).map { JSON.integer($0) }
          return try AddedToken(member.value, id: id, vocabulary)
        }
      }
      // The added tokens come from this file, so it is part of what the ids depend on.
      try reading(folder + Self.configurationName) { hash.update($0) }
    }
    contentHash = hash.hexadecimal
    padToken = try Self.padToken(configuration, folder)
  }

  // MARK: Checks

  private static func check(model: JSON, _ vocabulary: Vocabulary) throws {
    try expect(model["dropout"], at: "model.dropout", "none") { $0.isNull || $0.number == 0 }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      try expect(model[key], at: "model.\(key)", "none") { $0.isNull || $0.utf8 == [] }
    }
    try expect(model["ignore_merges"], at: "model.ignore_merges", "true or false") { $0.isNull || $0.boolean != nil }
    // Both say what becomes of a byte without a token; where every byte has one, they mean nothing.
    if let byte = ByteLevelAlphabet.spellings.firstIndex(where: { vocabulary.id(of: $0) == nil }) {
      let expected = "none (there is no token for byte 0x\(String(byte, radix: 16)))"
      try expect(model["unk_token"], at: "model.unk_token", expected) { $0.isNull }
      try expect(model["byte_fallback"], at: "model.byte_fallback", expected) { $0.isNull || $0.boolean == false }
    }
  }

  private static func normalizes(_ normalizer: JSON) throws -> Bool {
    if normalizer.isNull { return false }
    if normalizer["type"]?.text == "Sequence", let parts = normalizer["normalizers"]?.elements {
      var normalizes = false
      for part in parts where try Self.normalizes(part) { normalizes = true }
      return normalizes
    }
    try expect(normalizer["type"], at: "normalizer.type", "\"NFC\" or no normalizer") { $0.text == "NFC" }
    return true
  }

  private static func check(preTokenizer: JSON) throws {
    let name = "pre_tokenizer"
    try expect(preTokenizer["type"], at: "\(name).type", "Qwen2's \"Sequence\" of Split and ByteLevel") {
      $0.text == "Sequence"
    }
    let parts = preTokenizer["pretokenizers"]?.elements ?? []
    let types = parts.map { $0["type"] ?? .null }
    try expect(.array(types), at: "\(name).pretokenizers", "Qwen2's Split and ByteLevel") {
      $0 == .array([.string(Array("Split".utf8)), .string(Array("ByteLevel".utf8))])
    }
    let split = parts[0]
    try expect(split["pattern"]?["Regex"] ?? split["pattern"], at: "\(name) Split.pattern", "Qwen2's expression") {
      $0.text == QwenSplitter.expression
    }
    try expect(split["behavior"], at: "\(name) Split.behavior", "\"Isolated\"") { $0.text == "Isolated" }
    try expect(split["invert"], at: "\(name) Split.invert", "false") { $0.isNull || $0.boolean == false }
    let byteLevel = parts[1]
    for key in ["add_prefix_space", "use_regex"] {
      // Both are true where the file does not say.
      try expect(byteLevel[key], at: "\(name) ByteLevel.\(key)", "false") { $0.boolean == false }
    }
  }

  /// Hugging Face tokenizers number added tokens themselves, from the vocabulary's end on, whatever id the file gives.
  private static func addedTokens(_ json: JSON, _ vocabulary: Vocabulary) throws -> [AddedToken] {
    var tokens: [AddedToken] = []
    for element in json.elements ?? [] {
      let token = try AddedToken(element, id: element["id"], vocabulary)
      let name = "added token \(quoted(token.content))"
      guard !tokens.contains(where: { $0.content == token.content }) else {
        throw Failure(.malformed, "\(name) stands there twice")
      }
      let next = max(vocabulary.count, tokens.map { Int($0.id) + 1 }.max() ?? 0)
      guard vocabulary.id(of: token.content) != nil || token.id == next else {
        throw Failure(
          .malformed, "\(name): expected the id \(next), which Hugging Face tokenizers give it, found \(token.id)")
      }
      tokens.append(token)
    }
    return tokens
  }

  private static func check(_ configuration: JSON) throws {
    try expect(configuration["tokenizer_class"], at: "tokenizer_class", "\"Qwen2Tokenizer\" or none") {
      $0.isNull || $0.text == "Qwen2Tokenizer" || $0.text == "Qwen2TokenizerFast"
    }
    try expect(configuration["add_prefix_space"], at: "add_prefix_space", "false") {
      $0.isNull || $0.boolean == false
    }
  }

  // MARK: tokenizer_config.json

  private static func configuration(_ folder: String) throws -> JSON? {
    let path = folder + configurationName
    guard exists(path) else { return nil }
    return try reading(path) { try JSON(parsing: $0) }
  }

  private static func padToken(_ configuration: JSON?, _ folder: String) throws -> Tokenizer.PadToken {
    let source = folder + configurationName
    guard let token = configuration?["pad_token"], !token.isNull else { return .none(lookedIn: source) }
    guard let content = token.utf8 ?? token["content"]?.utf8 else {
      throw Failure(.malformed, "\(source): pad_token: expected a string or an added token, found \(kind(of: token))")
    }
    return .named(content, by: source)
  }
}

extension Tokenizer {
  /// Reads a tokenizer.
  ///
  /// - Parameter path: a folder with `tokenizer.json`, or with `vocab.json` and `merges.txt` (and, for added tokens,
  ///   `tokenizer_config.json`); or a `tokenizer.json`. Merges may be spelled `"a b"` or `["a", "b"]`.
  /// - Throws: `Failure` of kind cannotOpen, or of kind malformed for what is damaged or not implemented, which names
  ///   the file, the field, what was expected and what was found.
  public convenience init(path: String) throws {
    try self.init(TokenizerFile(path: path))
  }
}

extension MergeTable {
  /// - Parameter json: `model.merges` of a `tokenizer.json`.
  fileprivate init(_ json: JSON, _ vocabulary: Vocabulary) throws {
    guard let elements = json.elements else {
      throw Failure(.malformed, "model.merges: expected an array, found \(kind(of: json))")
    }
    self.init(minimumCapacity: elements.count)
    for (rank, element) in elements.enumerated() {
      if case .string(let text) = element {
        try text.withUnsafeBytes { try insert(line: $0, rank, vocabulary, at: "model.merges[\(rank)]") }
      } else if let pair = element.elements, pair.count == 2, let left = pair[0].utf8, let right = pair[1].utf8 {
        let line = left + [UInt8(ascii: " ")] + right
        try line.withUnsafeBytes {
          try insert(line: $0, middle: left.count, rank, vocabulary, at: "model.merges[\(rank)]")
        }
      } else {
        throw Failure(
          .malformed, "model.merges[\(rank)]: expected \"a b\" or [\"a\", \"b\"], found \(kind(of: element))")
      }
    }
  }

  /// - Parameter lines: a `merges.txt`, with or without its first line `#version: …`.
  fileprivate init(lines: UnsafeRawBufferPointer, _ vocabulary: Vocabulary) throws {
    var lines = lines.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)[...]
    if lines.last?.isEmpty == true { lines.removeLast() }
    self.init(minimumCapacity: lines.count)
    var rank = 0
    for (number, line) in lines.enumerated() {
      if number == 0, line.starts(with: "#version".utf8) { continue }
      let text = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
      try insert(line: .init(rebasing: text), rank, vocabulary, at: "line \(number + 1)")
      rank += 1
    }
  }

  /// - Parameter line: `a b`.
  private mutating func insert(
    line: UnsafeRawBufferPointer, _ rank: Int, _ vocabulary: Vocabulary, at place: @autoclosure () -> String
  ) throws {
    let space = UInt8(ascii: " ")
    guard let middle = line.firstIndex(of: space), !line[(middle + 1)...].contains(space) else {
      throw Failure(.malformed, "\(place()): expected two tokens with a space between, found \(quoted(line))")
    }
    try insert(line: line, middle: middle, rank, vocabulary, at: place())
  }

  /// - Parameter middle: where in `line` the space between the two tokens is.
  private mutating func insert(
    line: UnsafeRawBufferPointer, middle: Int, _ rank: Int, _ vocabulary: Vocabulary,
    at place: @autoclosure () -> String
  ) throws {
    func id(_ token: UnsafeRawBufferPointer) throws -> Int32 {
      guard let id = vocabulary.id(of: token) else {
        throw Failure(.malformed, "\(place()): token \(quoted(token)) is not in the vocabulary")
      }
      return id
    }
    guard rank < Int(UInt32.max) else { throw Failure(.malformed, "\(place()): too many merges") }
    let left = UnsafeRawBufferPointer(rebasing: line[..<middle])
    let right = UnsafeRawBufferPointer(rebasing: line[(middle + 1)...])
    let result = try withUnsafeTemporaryAllocation(byteCount: line.count, alignment: 1) { joined in
      joined.copyBytes(from: left)
      UnsafeMutableRawBufferPointer(rebasing: joined[middle...]).copyBytes(from: right)
      return try id(.init(rebasing: joined[..<(line.count - 1)]))
    }
    insert(try id(left), try id(right), Merge(rank: UInt32(rank), result: result))
  }
}

extension AddedToken {
  /// - Parameters:
  ///   - json: an added token as `tokenizer.json` and `tokenizer_config.json` have it.
  ///   - id: stands in the token itself or is its key.
  fileprivate init(_ json: JSON, id: JSON?, _ vocabulary: Vocabulary) throws {
    guard let content = json["content"]?.utf8 else { throw Failure(.malformed, "added token without content") }
    let name = "added token \(quoted(content))"
    guard let id = id?.int.flatMap({ Int32(exactly: $0) }), id >= 0 else {
      throw Failure(.malformed, "\(name): expected an id from 0 to \(Int32.max)")
    }
    if let found = vocabulary.id(of: content), found != id {
      throw Failure(.malformed, "\(name): expected the vocabulary's id \(found), found \(id)")
    }
    func flag(_ key: String, otherwise: Bool) throws -> Bool {
      guard let value = json[key] else { return otherwise }
      guard let flag = value.boolean else {
        throw Failure(.malformed, "\(name): \(key): expected true or false, found \(kind(of: value))")
      }
      return flag
    }
    let isSpecial = try flag("special", otherwise: false)
    self.init(
      id: id, content: content, isSingleWord: try flag("single_word", otherwise: false),
      stripsLeft: try flag("lstrip", otherwise: false), stripsRight: try flag("rstrip", otherwise: false),
      isNormalized: try flag("normalized", otherwise: !isSpecial), isSpecial: isSpecial)
  }
}

/// Says of `source` what is wrong in `body`.
private func of<Result>(_ source: String, _ body: () throws -> Result) throws -> Result {
  do { return try body() } catch let failure as Failure { throw failure.at(source) }
}

/// Maps the file at `path` for `body`, and says of the file what is wrong in there.
private func reading<Result>(_ path: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
  let file = try MappedFile(path: path)
  return try withExtendedLifetime(file) { try of(path) { try body(file.bytes) } }
}

/// Checks one field; one that is missing counts as null.
private func expect(
  _ value: JSON?, at place: String, _ expected: String, _ isRight: (JSON) -> Bool
) throws {
  let value = value ?? .null
  guard isRight(value) else {
    throw Failure(.malformed, "\(place): expected \(expected), found \(kind(of: value))")
  }
}

/// A short value itself, a long one by what it is.
private func kind(of json: JSON) -> String {
  switch json {
  case .null: "none"
  case .bool(let value): String(value)
  case .integer(let value): String(value)
  case .double(let value): String(value)
  case .string(let text): quoted(text)
  case .array(let elements):
    elements.count <= 4 ? "[\(elements.map(kind).joined(separator: ", "))]" : "an array of \(elements.count)"
  case .object(let members):
    members.count == 1 ? "{\(quoted(members[0].key)): \(kind(of: members[0].value))}" : "an object"
  }
}

private func isFolder(_ path: String) -> Bool {
  var status = stat()
  return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

private func exists(_ path: String) -> Bool {
  access(path, F_OK) == 0
}
