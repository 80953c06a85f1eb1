import SystemIO

/// A BPE tokenizer, from the files that Hugging Face tokenizers read, with its ids.
///
/// Added tokens are cut out of the text; the rest is normalized, split into words, and the words are encoded. `decode`
/// goes back.
public final class Tokenizer {
  /// The file or folder it was read from.
  public let path: String
  /// XXH64 of all that its ids depend on, in hexadecimal.
  public let contentHash: String
  /// What its files say and does not hold, for people to know.
  public let warnings: [String]
  /// Whether Hugging Face's call pads before a text, instead of behind it; and the file that says so.
  public let paddingIsBefore: Bool
  public let configurationPath: String
  /// The largest id it can give: a model's embedding must have more rows.
  public let largestID: Int32

  let vocabulary: Vocabulary
  let addedTokens: [AddedToken]
  /// Looked for in the text as it comes, and in what is left of it after normalization.
  private let plainMatcher: AddedTokenMatcher
  private let normalizedMatcher: AddedTokenMatcher
  let normalizer: Normalizer
  private let preTokenizer: PreTokenizer
  private let padToken: [UInt8]?
  private let specialTokens: SpecialTokens
  private let truncatesAtStart: Bool
  private var encoder: BytePairEncoder
  let decoder: TokenDecoder
  /// For decoding.
  lazy var addedTokensByID = Dictionary(addedTokens.map { ($0.id, $0) }) { $1 }
  lazy var specialContents = Set(addedTokens.filter(\.isSpecial).map(\.content))

  init(_ file: TokenizerFile) throws {
    path = file.path
    contentHash = file.contentHash
    vocabulary = file.vocabulary
    addedTokens = file.addedTokens
    warnings = file.warnings
    paddingIsBefore = file.configuration.paddingSide == .left
    configurationPath = file.configuration.source
    specialTokens = file.specialTokens
    truncatesAtStart = file.configuration.truncationSide == .left
    largestID =
      (file.addedTokens.map(\.id) + specialTokens.before + specialTokens.after).reduce(file.vocabulary.largestID, max)
    normalizer = file.normalizer
    preTokenizer = file.preTokenizer
    decoder = file.decoder
    padToken = file.configuration.token(named: "pad_token")
    encoder = BytePairEncoder(
      vocabulary: file.vocabulary, merges: file.merges, model: file.model, isByteLevel: preTokenizer.isByteLevel)
    let splitsSpecialTokens = file.configuration.splitsSpecialTokens
    plainMatcher = AddedTokenMatcher(
      addedTokens.filter { !$0.isNormalized }, splitsSpecialTokens: splitsSpecialTokens)
    normalizedMatcher = AddedTokenMatcher(
      try addedTokens.filter(\.isNormalized).map { [normalizer] token in
        var token = token
        token.content = try normalizer.normalized(token.content)
        return token
      }, splitsSpecialTokens: splitsSpecialTokens)
  }

  /// - Parameter name: a file, a folder, or a hub id that is looked up in the local cache.
  public convenience init(named name: String) throws {
    try self.init(path: isFile(name) ? name : HubCache.folder(name, what: "tokenizer"))
  }

  /// How many tokens, BOS and EOS for most, come to those of every text.
  public var specialTokenCount: Int { specialTokens.count }

  /// The token ids of `text` as the tokenizer's own call gives them: with its special tokens, and cut to `length` on
  /// the side where it cuts, the special tokens kept.
  ///
  /// - Throws: `Failure` of kind malformed where `text` is not UTF-8.
  public func encode(_ text: [UInt8], cutTo length: Int, addingSpecialTokens: Bool) throws -> [Int32] {
    let special = addingSpecialTokens ? specialTokens : SpecialTokens()
    let room = length - special.count
    precondition(room >= 0, "no room for the special tokens")
    let ids = try encode(text)
    return special.before + (truncatesAtStart ? ids.suffix(room) : ids.prefix(room)) + special.after
  }

  /// The token ids of `text`, without special tokens.
  ///
  /// - Throws: `Failure` of kind malformed where the tokenizer's own expression finds no end on it.
  public func encode(_ text: borrowing UTF8Span) throws -> [Int32] {
    var ids: [Int32] = []
    try text.span.withUnsafeBytes { bytes in
      if plainMatcher.isEmpty {
        try encodeNormalizing(bytes, isAtStart: true, into: &ids)
      } else {
        try plainMatcher.split(bytes) { piece in
          switch piece {
          case .text(let text):
            try encodeNormalizing(text, isAtStart: text.baseAddress == bytes.baseAddress, into: &ids)
          case .token(let id): ids.append(id)
          }
        }
      }
    }
    return ids
  }

  /// The token ids of `text`, which must be UTF-8, without special tokens.
  public func encode(_ text: [UInt8]) throws -> [Int32] {
    let span: UTF8Span
    do { span = try UTF8Span(validating: text.span) } catch {
      throw Failure(.malformed, "not UTF-8: \(describe(error, in: text))")
    }
    return try encode(span)
  }

  /// The id that fills padded samples: of the tokenizer's `pad_token`, else of `<|endoftext|>`, which is what Qwen2's
  /// own tokenizer class takes.
  ///
  /// - Throws: `Failure` of kind malformed where there is neither.
  public func padID() throws -> Int32 {
    guard let id = id(of: padToken ?? Array("<|endoftext|>".utf8)) else {
      throw Failure(
        .malformed,
        "\(path): no token to pad with: expected pad_token in \(configurationPath), or a token <|endoftext|>")
    }
    return id
  }

  private func id(of content: [UInt8]) -> Int32? {
    addedTokens.first { $0.content == content }?.id ?? vocabulary.id(of: content)
  }

  private func encodeNormalizing(
    _ text: UnsafeRawBufferPointer, isAtStart: Bool, into ids: inout [Int32]
  ) throws {
    // The pieces between tokens of valid text are valid.
    try normalizer.normalize(text) { text in
      guard !normalizedMatcher.isEmpty else { return try encodeWords(of: text, isAtStart: isAtStart, into: &ids) }
      try normalizedMatcher.split(text) { piece in
        switch piece {
        case .text(let part):
          try encodeWords(of: part, isAtStart: isAtStart && part.baseAddress == text.baseAddress, into: &ids)
        case .token(let id): ids.append(id)
        }
      }
    }
  }

  private func encodeWords(of text: UnsafeRawBufferPointer, isAtStart: Bool, into ids: inout [Int32]) throws {
    try preTokenizer.forEachWord(of: text, isAtStart: isAtStart) { encoder.encode($0, into: &ids) }
  }
}
