/// The added tokens of a tokenizer, collected as Hugging Face tokenizers collect them (`added_vocabulary.rs`): a token
/// that the vocabulary has keeps its id there, any other gets the next one behind all ids so far, whatever id its file
/// gives it; a token that comes again takes the place of the earlier one.
struct AddedVocabulary {
  private var ids: [[UInt8]: Int32] = [:]
  private var byID: [Int32: AddedToken] = [:]
  /// What was special once stays so.
  private var special: Set<[UInt8]> = []
  private var normalizedOnce: Set<Int32> = []

  /// In the order of their ids.
  var tokens: [AddedToken] {
    byID.values.sorted { $0.id < $1.id }.map { token in
      var token = token
      // Fixed before the flag is, on which it may depend.
      token.normalized = token.isNormalized
      token.isSpecial = special.contains(token.content)
      token.isDecodedNormalized = normalizedOnce.contains(token.id)
      return token
    }
  }

  func id(of content: [UInt8]) -> Int32? { ids[content] }

  mutating func add(_ tokens: [AddedToken], _ vocabulary: Vocabulary) {
    let count = Int32(vocabulary.count)
    var next = byID.keys.max().map { max($0 + 1, count) } ?? count
    for var token in tokens where !token.content.isEmpty {
      if let id = ids[token.content] ?? vocabulary.id(of: token.content) {
        token.id = id
      } else {
        token.id = next
        next += 1
      }
      ids[token.content] = token.id
      byID[token.id] = token
      if token.isNormalized { normalizedOnce.insert(token.id) }
      if token.isSpecial { special.insert(token.content) }
    }
  }
}
