extension Tokenizer {
  /// The text of `ids`, as Hugging Face tokenizers decode it: ids without a token are left out, and bytes that are no
  /// UTF-8 become U+FFFD.
  ///
  /// - Parameter skippingSpecialTokens: leaves out special tokens, such as BOS.
  /// - Throws: `Failure` of kind malformed where an expression of the tokenizer's own finds no end.
  public func decode(_ ids: [Int32], skippingSpecialTokens: Bool = false) throws -> String {
    let tokens = try ids.compactMap { id -> [UInt8]? in
      guard let token = try decoded(id), !skippingSpecialTokens || !specialContents.contains(token) else { return nil }
      return token
    }
    return String(decoding: try decoder.decode(tokens), as: UTF8.self)
  }

  /// What the token of `id` stands for within a text; nil where there is no such token.
  ///
  /// - Throws: `Failure` of kind malformed where an expression of the tokenizer's own finds no end.
  public func piece(of id: Int32) throws -> TokenPiece? {
    if let token = addedTokensByID[id] {
      return TokenPiece(bytes: token.content, isSpecial: specialContents.contains(token.content))
    }
    guard let spelling = vocabulary.spelling(of: id) else { return nil }
    return TokenPiece(bytes: try decoder.bytes(of: spelling), isSpecial: specialContents.contains(spelling))
  }

  /// The text of each of `ids`: end to end they are what `decode` makes of all of them. A character that several tokens
  /// spell is the last one's, and the others' text is empty.
  ///
  /// - Parameter areTextStart: whether a text begins with these tokens. Elsewhere decoders do not take off what they take
  ///   off the beginning of a text, and a character of which only the end is there becomes U+FFFD.
  /// - Throws: `Failure` of kind malformed where an expression of the tokenizer's own finds no end.
  public func texts(of ids: [Int32], areTextStart: Bool = true) throws -> [String] {
    let pieces = try ids.map { try piece(of: $0)?.bytes ?? [] }
    func text(ofFirst count: Int) throws -> [UInt8] {
      let text =
        areTextStart
        ? try decode(Array(ids.prefix(count))) : String(decoding: pieces.prefix(count).joined(), as: UTF8.self)
      return Array(text.utf8)
    }
    let whole = try text(ofFirst: ids.count)
    let first = try text(ofFirst: 1)
    // What is taken off the beginning.
    let missing = pieces.first.map { $0.suffix(first.count) == first[...] ? $0.count - first.count : 0 } ?? 0
    // As far as the text is the tokens' bytes, these say where a token ends; beyond it is to be decoded up to there.
    let known = commonPrefix(Array(pieces.joined().dropFirst(missing)), whole)
    var texts: [String] = []
    var (start, spelled) = (0, -missing)
    for (index, piece) in pieces.enumerated() {
      spelled += piece.count
      var end = whole.count
      if index + 1 < pieces.count {
        end = spelled <= known ? max(spelled, 0) : commonPrefix(try text(ofFirst: index + 1), whole)
        while end > 0, end < whole.count, whole[end] & 0xc0 == 0x80 { end -= 1 }
        end = max(end, start)
      }
      texts.append(String(decoding: whole[start..<end], as: UTF8.self))
      start = end
    }
    return texts
  }

  /// How many bytes are the same in both from the beginning.
  private func commonPrefix(_ one: [UInt8], _ other: [UInt8]) -> Int {
    zip(one, other).enumerated().first { $1.0 != $1.1 }?.offset ?? min(one.count, other.count)
  }

  /// The token as decoders get it. One that the normalizer changes is the changed one to Hugging Face tokenizers, which
  /// then is not special.
  private func decoded(_ id: Int32) throws -> [UInt8]? {
    guard let token = addedTokensByID[id] else { return vocabulary.spelling(of: id) }
    return token.isDecodedNormalized ? try normalizer.normalized(token.content) : token.content
  }
}
