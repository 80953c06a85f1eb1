import SystemIO

/// A byte-level BPE tokenizer of the Qwen2 family, from the files that Hugging Face tokenizers read, with its ids.
///
/// Added tokens are cut out of the text; the rest is normalized, split into words, and the words are encoded.
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

  private let vocabulary: Vocabulary
  private let addedTokens: [AddedToken]
  /// Looked for in the text as it comes, and in what is left of it after normalization.
  private let plainMatcher: AddedTokenMatcher
  private let normalizedMatcher: AddedTokenMatcher
  private let normalizes: Bool
  private let padToken: [UInt8]?
  private let specialTokens: SpecialTokens
  private let truncatesAtStart: Bool
  private var encoder: BytePairEncoder

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
    normalizes = file.normalizes
    padToken = file.configuration.token(named: "pad_token")
    encoder = BytePairEncoder(
      vocabulary: file.vocabulary, merges: file.merges, ignoresMerges: file.ignoresMerges)
    let splitsSpecialTokens = file.configuration.splitsSpecialTokens
    plainMatcher = AddedTokenMatcher(
      addedTokens.filter { !$0.isNormalized }, splitsSpecialTokens: splitsSpecialTokens)
    normalizedMatcher = AddedTokenMatcher(
      addedTokens.filter(\.isNormalized).map { token in
        var token = token
        if file.normalizes { token.content = normalized(token.content) }
        return token
      }, splitsSpecialTokens: splitsSpecialTokens)
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
  public func encode(_ text: borrowing UTF8Span) -> [Int32] {
    var ids: [Int32] = []
    text.span.withUnsafeBytes { bytes in
      if plainMatcher.isEmpty {
        encodeNormalizing(bytes, into: &ids)
      } else {
        plainMatcher.split(bytes) { piece in
          switch piece {
          case .text(let text): encodeNormalizing(text, into: &ids)
          case .token(let id): ids.append(id)
          }
        }
      }
    }
    return ids
  }

  /// The token ids of `text`, which must be UTF-8, without special tokens.
  public func encode(_ text: [UInt8]) throws -> [Int32] {
    do { return encode(try UTF8Span(validating: text.span)) } catch {
      throw Failure(.malformed, "not UTF-8: \(describe(error, in: text))")
    }
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

  private func encodeNormalizing(_ text: UnsafeRawBufferPointer, into ids: inout [Int32]) {
    // The pieces between tokens of valid text are valid.
    let span = UTF8Span(unchecked: text.assumingMemoryBound(to: UInt8.self).span)
    guard normalizes, let normalized = normalizedToNFC(span) else {
      encodeNormalized(text, into: &ids)
      return
    }
    normalized.withUnsafeBytes { encodeNormalized($0, into: &ids) }
  }

  private func encodeNormalized(_ text: UnsafeRawBufferPointer, into ids: inout [Int32]) {
    if normalizedMatcher.isEmpty {
      encodeWords(of: text, into: &ids)
    } else {
      normalizedMatcher.split(text) { piece in
        switch piece {
        case .text(let text): encodeWords(of: text, into: &ids)
        case .token(let id): ids.append(id)
        }
      }
    }
  }

  private func encodeWords(of text: UnsafeRawBufferPointer, into ids: inout [Int32]) {
    var start = 0
    while start < text.count {
      let end = QwenSplitter.wordEnd(in: text, from: start)
      encoder.encode(UnsafeRawBufferPointer(rebasing: text[start..<end]), into: &ids)
      start = end
    }
  }
}

private func normalized(_ content: [UInt8]) -> [UInt8] {
  guard let span = try? UTF8Span(validating: content.span) else { return content }
  return normalizedToNFC(span) ?? content
}
