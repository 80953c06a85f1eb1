import JSON
import SystemIO

/// A tokenizer as its files describe it, checked: what this package does not implement is refused by name.
struct TokenizerFile {
  let path: String
  var contentHash = ""
  var vocabulary: Vocabulary
  var merges: MergeTable
  var ignoresMerges = false
  var normalizes = true
  var addedTokens: [AddedToken] = []
  var specialTokens = SpecialTokens()
  var configuration: TokenizerConfiguration
  var warnings: [String] = []

  /// - Parameter path: a folder with `tokenizer.json`, or with `vocab.json` and `merges.txt`; or a `tokenizer.json`.
  init(path: String) throws {
    guard isFolder(path) else {
      try self.init(tokenizerJSON: path, folder: path.lastIndex(of: "/").map { String(path[...$0]) } ?? "./")
      return
    }
    let folder = path.hasSuffix("/") ? path : path + "/"
    if nameExists(folder + "tokenizer.json") {
      try self.init(tokenizerJSON: folder + "tokenizer.json", folder: folder)
    } else if nameExists(folder + "vocab.json"), nameExists(folder + "merges.txt") {
      try self.init(vocabularyAndMergesIn: folder)
    } else {
      throw Failure(
        .cannotOpen, "\(path): no tokenizer here: expected tokenizer.json, or vocab.json and merges.txt")
    }
  }

  private init(tokenizerJSON path: String, folder: String) throws {
    self.path = path
    var hash = ContentHash()
    let json = try reading(path) {
      hash.update($0)
      return try JSON(file: $0)
    }
    let model = json["model"] ?? .null
    // First of all: another kind of model has another kind of vocabulary.
    try of(path) { try expect(model["type"], at: "model.type", "\"BPE\"") { $0.text == "BPE" } }
    configuration = try TokenizerConfiguration(folder: folder, tokenizerJSON: json)
    vocabulary = try of(path) { try Vocabulary(model["vocab"] ?? .null) }
    merges = try of(path) { [vocabulary] in try MergeTable(model["merges"] ?? .null, vocabulary) }
    let isQwen2Class = configuration.isQwen2Class
    (ignoresMerges, normalizes, specialTokens) = try of(path) { [vocabulary] in
      try Self.check(model: model, vocabulary)
      try Self.check(preTokenizer: json["pre_tokenizer"] ?? .null)
      let normalizes = try Self.normalizes(json["normalizer"] ?? .null)
      // The class has its own model and normalizer, and takes from the file what fills them.
      return (
        !isQwen2Class && model["ignore_merges"]?.boolean ?? false, isQwen2Class || normalizes,
        try SpecialTokens(json["post_processor"] ?? .null)
      )
    }
    let own = try of(path) {
      try (json["added_tokens"]?.elements ?? []).map { try AddedToken($0, id: $0["id"]) }
    }
    addTokens(own)
    contentHash = self.hash(after: hash)
  }

  /// As transformers' Qwen2Tokenizer reads such a folder: the normalizer and the expression are its own.
  private init(vocabularyAndMergesIn folder: String) throws {
    path = folder
    configuration = try TokenizerConfiguration(folder: folder, tokenizerJSON: nil)
    var hash = ContentHash()
    vocabulary = try reading(folder + "vocab.json") {
      hash.update($0)
      return try Vocabulary(JSON(file: $0))
    }
    merges = try reading(folder + "merges.txt") { [vocabulary] in
      hash.update($0)
      return try MergeTable(lines: $0, vocabulary)
    }
    addTokens([])
    func id(_ name: String) -> [Int32] {
      guard let content = configuration.token(named: name), let token = self.id(of: content) else { return [] }
      return [token]
    }
    specialTokens = SpecialTokens(
      before: configuration.addsBOS ? id("bos_token") : [], after: configuration.addsEOS ? id("eos_token") : [])
    contentHash = self.hash(after: hash)
  }

  /// - Parameter own: what `tokenizer.json` lists, in its order.
  private mutating func addTokens(_ own: [AddedToken]) {
    var added = AddedVocabulary()
    if !configuration.isQwen2Class { added.add(own, vocabulary) }
    added.add(configuration.tokensToAdd(to: added), vocabulary)
    if configuration.isQwen2Class { added.add(configuration.plainSpecialTokens, vocabulary) }
    addedTokens = added.tokens
    var renumbered: [String] = []
    for token in own + configuration.declared {
      guard let id = added.id(of: token.content), id != token.id else { continue }
      let change = "\(quoted(token.content)) \(id) instead of \(token.id)"
      if !renumbered.contains(change) { renumbered.append(change) }
    }
    if let first = renumbered.first {
      warnings.append(
        "\(path): added tokens get other ids than their file gives them, as from Hugging Face's libraries: \(first)"
          + (renumbered.count > 1 ? " and \(renumbered.count - 1) more" : ""))
    }
  }

  private func id(of content: [UInt8]) -> Int32? {
    addedTokens.first { $0.content == content }?.id ?? vocabulary.id(of: content)
  }

  /// The hash of the vocabulary's and the merges' files, and of what else the ids depend on.
  private func hash(after files: ContentHash) -> String {
    var hash = files
    func update(_ text: [UInt8]) { text.withUnsafeBytes { hash.update($0) } }
    func update(_ values: [Int32]) { values.withUnsafeBytes { hash.update($0) } }
    for token in addedTokens {
      let flags = [token.isSingleWord, token.stripsLeft, token.stripsRight, token.isNormalized, token.isSpecial]
      update([token.id, Int32(clamping: token.content.count)] + flags.map { $0 ? 1 : 0 })
      update(token.content)
    }
    update([Int32(specialTokens.before.count)] + specialTokens.before + specialTokens.after)
    update([normalizes, ignoresMerges, configuration.splitsSpecialTokens].map { $0 ? 1 : 0 } as [Int32])
    update(Array("\(configuration.truncationSide) \(configuration.paddingSide)".utf8))
    return hash.hexadecimal
  }

  // MARK: Checks

  private static func check(model: JSON, _ vocabulary: Vocabulary) throws {
    try expect(model["dropout"], at: "model.dropout", "none") { $0.isNull || $0.number == 0 }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      try expect(model[key], at: "model.\(key)", "none") { $0.isNull || $0.utf8 == [] }
    }
    try expect(model["ignore_merges"], at: "model.ignore_merges", "true or false") { $0.isNull || $0.boolean != nil }
    // Both say what becomes of a byte without a token; where every byte has one, they mean nothing.
    if let byte = byteLevelSpellings.firstIndex(where: { vocabulary.id(of: $0) == nil }) {
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
}

extension Tokenizer {
  /// Reads a tokenizer.
  ///
  /// - Parameter path: a folder with `tokenizer.json`, or with `vocab.json` and `merges.txt`; or a `tokenizer.json`. What
  ///   `tokenizer_config.json` and older files beside it say counts as in transformers 5. Merges may be spelled `"a b"` or `["a", "b"]`.
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
      throw unexpected(json, at: "model.merges", "an array")
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
        throw unexpected(element, at: "model.merges[\(rank)]", "\"a b\" or [\"a\", \"b\"]")
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

extension Tokenizer {
  /// The files, of those that there are, that may determine the ids of the tokenizer at `path`, which is a folder or a
  /// tokenizer.json: what is read of the tokenizer itself, and of config.json the class.
  public static func files(_ path: String) -> [String] {
    let folder = isFolder(path) ? path : SystemIO.folder(of: path)
    let names = [
      "tokenizer.json", "vocab.json", "merges.txt", "tokenizer_config.json", "added_tokens.json",
      "special_tokens_map.json", "config.json",
    ]
    let beside = names.map { "\(folder)/\($0)" }.filter { $0 != path && isFile($0) }
    return (isFile(path) ? [path] : []) + beside
  }
}
