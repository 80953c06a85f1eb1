/// A token that is cut out of the text before anything else happens to it, `<|endoftext|>` for one.
struct AddedToken: Equatable {
  var id: Int32
  var content: [UInt8]
  /// Not where a word goes on at either side.
  var isSingleWord = false
  /// Takes the white space before it along.
  var stripsLeft = false
  /// Takes the white space behind it along.
  var stripsRight = false
  /// Is looked for in normalized text.
  var isNormalized = false
  /// Comes first where two tokens could match in the same place.
  var isSpecial = false
}

/// Finds added tokens in a text as Hugging Face tokenizers do (`added_vocabulary.rs`): from left to right, of several
/// in the same place the longest.
struct AddedTokenMatcher {
  /// The tokens that begin with each byte, longest first.
  private var tokens: [[AddedToken]] = Array(repeating: [], count: 256)
  let isEmpty: Bool

  init(_ tokens: [AddedToken]) {
    let tokens = tokens.filter { !$0.content.isEmpty }
    isEmpty = tokens.isEmpty
    for token in tokens.filter(\.isSpecial) + tokens.filter({ !$0.isSpecial }) {
      let first = Int(token.content[0])
      let place = self.tokens[first].firstIndex { $0.content.count < token.content.count }
      self.tokens[first].insert(token, at: place ?? self.tokens[first].endIndex)
    }
  }

  enum Piece {
    /// Never empty.
    case text(UnsafeRawBufferPointer)
    case token(Int32)
  }

  /// Calls `body` for each piece of `text` from first to last.
  func split(_ text: UnsafeRawBufferPointer, _ body: (Piece) -> Void) {
    var done = 0
    var position = 0
    while let (found, token) = firstMatch(in: text, from: position) {
      position = found.upperBound
      if token.isSingleWord, isWord(before: found.lowerBound, in: text) || isWord(at: found.upperBound, in: text) {
        continue
      }
      let start = token.stripsLeft ? startOfWhiteSpace(before: found.lowerBound, in: text) : found.lowerBound
      // Where the token before it has taken the same white space along, start lies before done.
      if done < start { body(.text(.init(rebasing: text[done..<start]))) }
      body(.token(token.id))
      done = token.stripsRight ? endOfWhiteSpace(from: found.upperBound, in: text) : found.upperBound
    }
    if done < text.count { body(.text(.init(rebasing: text[done...]))) }
  }

  private func firstMatch(in text: UnsafeRawBufferPointer, from start: Int) -> (Range<Int>, AddedToken)? {
    for position in start..<max(start, text.count) where !tokens[Int(text[position])].isEmpty {
      let rest = text[position...]
      if let token = tokens[Int(text[position])].first(where: { rest.starts(with: $0.content) }) {
        return (position..<position + token.content.count, token)
      }
    }
    return nil
  }

  private func isWord(before position: Int, in text: UnsafeRawBufferPointer) -> Bool {
    scalarEnding(at: position, of: text).map { $0.scalar.isWord } ?? false
  }

  private func isWord(at position: Int, in text: UnsafeRawBufferPointer) -> Bool {
    position < text.count && decodeScalar(at: position, of: text).0.isWord
  }

  private func startOfWhiteSpace(before position: Int, in text: UnsafeRawBufferPointer) -> Int {
    var start = position
    while let (scalar, previous) = scalarEnding(at: start, of: text), scalar.properties.isWhitespace {
      start = previous
    }
    return start
  }

  private func endOfWhiteSpace(from position: Int, in text: UnsafeRawBufferPointer) -> Int {
    var end = position
    while end < text.count {
      let (scalar, length) = decodeScalar(at: end, of: text)
      guard scalar.properties.isWhitespace else { break }
      end += length
    }
    return end
  }
}

extension Unicode.Scalar {
  /// `\w` as Unicode's technical standard 18 and the regular expressions of Rust define it.
  fileprivate var isWord: Bool {
    switch properties.generalCategory {
    case .nonspacingMark, .spacingMark, .enclosingMark, .decimalNumber, .connectorPunctuation: true
    default: properties.isAlphabetic || properties.isJoinControl
    }
  }
}
