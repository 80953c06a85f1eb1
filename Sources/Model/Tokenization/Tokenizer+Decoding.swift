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

  /// The token as decoders get it. One that the normalizer changes is the changed one to Hugging Face tokenizers, which
  /// then is not special.
  private func decoded(_ id: Int32) throws -> [UInt8]? {
    guard let token = addedTokensByID[id] else { return vocabulary.spelling(of: id) }
    return token.isDecodedNormalized ? try normalizer.normalized(token.content) : token.content
  }
}
