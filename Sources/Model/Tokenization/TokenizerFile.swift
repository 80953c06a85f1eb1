import JSON
import SystemIO

/// A tokenizer as its files describe it, checked: what this package does not implement is refused by name.
struct TokenizerFile {
  let path: String
  var contentHash = ""
  var vocabulary: Vocabulary
  var merges: MergeTable
  var model: BytePairModel
  var normalizer: Normalizer
  var preTokenizer: PreTokenizer
  var decoder: TokenDecoder
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
    var mentionsByteLevel = false
    let json = try reading(path) { bytes in
      hash.update(bytes)
      mentionsByteLevel = firstOccurrence(of: Array(#""ByteLevel""#.utf8), in: bytes, from: 0) != nil
      return try JSON(file: bytes)
    }
    let model = json["model"] ?? .null
    // First of all: another kind of model has another kind of vocabulary.
    try of(path) { try expect(model["type"], at: "model.type", "\"BPE\"") { $0.text == "BPE" } }
    configuration = try TokenizerConfiguration(
      folder: folder, tokenizerJSON: json, mentionsByteLevel: mentionsByteLevel)
    vocabulary = try of(path) { try Vocabulary(model["vocab"] ?? .null) }
    merges = try of(path) { [vocabulary] in try MergeTable(model["merges"] ?? .null, vocabulary) }
    (self.model, normalizer, preTokenizer, decoder) = try of(path) { [configuration] in
      try Self.pipeline(configuration, json)
    }
    try of(path) { try finishPipeline() }
    let own = try of(path) {
      try (json["added_tokens"]?.elements ?? []).map { try AddedToken($0, id: $0["id"]) }
    }
    addTokens(own)
    // This class makes its own, which adds nothing where there is a tokenizer.json.
    if configuration.tokenizerClass != .gptNeoX {
      specialTokens = try of(path) { try SpecialTokens(json["post_processor"] ?? .null) }
    }
    contentHash = self.hash(after: hash)
  }

  /// As the classes of transformers that have a pipeline of their own read such a folder.
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
    (model, normalizer, preTokenizer, decoder) = try Self.pipeline(configuration, .null)
    try of(folder + "vocab.json") { try finishPipeline() }
    addTokens([])
    func id(_ name: String) -> [Int32] {
      guard let content = configuration.token(named: name), let token = self.id(of: content) else { return [] }
      return [token]
    }
    specialTokens = SpecialTokens(
      before: configuration.addsBOS ? id("bos_token") : [], after: configuration.addsEOS ? id("eos_token") : [])
    contentHash = self.hash(after: hash)
  }

  /// - Parameter json: the `tokenizer.json`, which counts where the class has no pipeline of its own.
  private static func pipeline(
    _ configuration: TokenizerConfiguration, _ json: JSON
  ) throws -> (BytePairModel, Normalizer, PreTokenizer, TokenDecoder) {
    let json = try configuration.pipeline.map { try JSON(parsing: Array($0.utf8)) } ?? json
    return (
      try BytePairModel(json["model"] ?? .null), try Normalizer(json["normalizer"]),
      try PreTokenizer(json["pre_tokenizer"]), try TokenDecoder(json["decoder"])
    )
  }

  private mutating func finishPipeline() throws {
    try model.check(vocabulary, isByteLevel: preTokenizer.isByteLevel)
    guard !preTokenizer.isByteLevel, !model.ignoresMerges, vocabulary.id(of: WordSplitter.mark) != nil,
      !model.dropsUnknown(vocabulary), let joining = bytesBeforeMarks()
    else { return }
    preTokenizer.splitAtMarks(joining: joining)
  }

  /// The last bytes of what a merge joins to a `▁` behind it; nil where that may be anything. Published tokenizers have
  /// few such merges: Gemma 3 has `>` and `▁</`.
  private func bytesBeforeMarks() -> ByteSet? {
    let begins = vocabulary.ids { $0.starts(with: WordSplitter.mark) }
    var joining = ByteSet()
    var isAnything = false
    merges.forEach { left, right in
      guard begins.contains(right), let left = vocabulary.spelling(of: left),
        !left.suffix(WordSplitter.mark.count).elementsEqual(WordSplitter.mark)
      else { return }
      if let last = left.last { joining.insert(last) }
      if let byte = BytePairModel.byte(ofToken: left.suffix(6)) { joining.insert(byte) }
      if let unknown = model.unknownToken, left.suffix(unknown.count).elementsEqual(unknown) { isAnything = true }
    }
    return isAnything ? nil : joining
  }

  /// - Parameter own: what `tokenizer.json` lists, in its order.
  private mutating func addTokens(_ own: [AddedToken]) {
    var added = AddedVocabulary()
    if configuration.tokenizerClass == .plain { added.add(own, vocabulary) }
    added.add(configuration.tokensToAdd(to: added), vocabulary)
    if configuration.tokenizerClass == .qwen2 { added.add(configuration.plainSpecialTokens, vocabulary) }
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
    update([configuration.splitsSpecialTokens ? 1 : 0] as [Int32])
    // What the file itself says of these is in its hash.
    update(Array((configuration.pipeline ?? "").utf8))
    update(Array("\(configuration.truncationSide) \(configuration.paddingSide)".utf8))
    return hash.hexadecimal
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
