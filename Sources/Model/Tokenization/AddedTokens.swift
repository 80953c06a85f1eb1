/// A token that is cut out of the text before anything else happens to it, `<|endoftext|>` for one.
struct AddedToken: Equatable {
  /// -1 before it has one.
  var id: Int32 = -1
  var content: [UInt8]
  /// Not where a word goes on at either side.
  var isSingleWord = false
  /// Takes the white space before it along.
  var stripsLeft = false
  /// Takes the white space behind it along.
  var stripsRight = false
  /// Whether it is looked for in normalized text, where its file says so.
  var normalized: Bool?
  /// Whether it was normalized when any file named it: decoders then get it as the normalizer leaves it.
  var isDecodedNormalized = false
  /// Comes first where two tokens could match in the same place.
  var isSpecial = false

  /// Only what is not special is looked for in normalized text where nothing else is said.
  var isNormalized: Bool { normalized ?? !isSpecial }

  /// A special token that a file names without saying more of it.
  static func special(_ content: [UInt8]) -> AddedToken { AddedToken(content: content, isSpecial: true) }
}

/// Finds added tokens in a text as Hugging Face tokenizers do (`added_vocabulary.rs`): from left to right, of several
/// in the same place the longest.
struct AddedTokenMatcher {
  private var tokens: [AddedToken] = []
  /// The tokens' contents, in the order of `tokens`.
  private var contents = ByteStringTable()
  /// The lengths of the tokens that begin with each byte, longest first. There may be thousands of tokens.
  private var lengths: [[Int]] = Array(repeating: [], count: 256)
  private var isFirstByte = Array(repeating: false, count: 256)
  private let splitsSpecialTokens: Bool

  var isEmpty: Bool { tokens.isEmpty }

  /// - Parameter splitsSpecialTokens: special tokens are text like any other. They still hide what overlaps with them.
  init(_ tokens: [AddedToken], splitsSpecialTokens: Bool) {
    self.splitsSpecialTokens = splitsSpecialTokens
    let tokens = tokens.filter { !$0.content.isEmpty }
    for token in tokens.filter(\.isSpecial) + tokens.filter({ !$0.isSpecial }) where contents.find(token.content) == nil
    {
      token.content.withUnsafeBytes { contents.insert($0) }
      self.tokens.append(token)
      isFirstByte[Int(token.content[0])] = true
      lengths[Int(token.content[0])].append(token.content.count)
    }
    for byte in lengths.indices { lengths[byte] = Set(lengths[byte]).sorted(by: >) }
  }

  enum Piece {
    /// Never empty.
    case text(UnsafeRawBufferPointer)
    case token(Int32)
  }

  /// Calls `body` for each piece of `text` from first to last.
  func split(_ text: UnsafeRawBufferPointer, _ body: (Piece) throws -> Void) rethrows {
    var done = 0
    var position = 0
    while let (found, token) = firstMatch(in: text, from: position) {
      position = found.upperBound
      if splitsSpecialTokens, token.isSpecial { continue }
      if token.isSingleWord, isWord(before: found.lowerBound, in: text) || isWord(at: found.upperBound, in: text) {
        continue
      }
      // The token before it may have taken the same white space along, or, where tokens are white space, all of it.
      let start =
        token.stripsLeft ? max(done, startOfWhiteSpace(before: found.lowerBound, in: text)) : found.lowerBound
      let end = token.stripsRight ? endOfWhiteSpace(from: found.upperBound, in: text) : found.upperBound
      // Hugging Face tokenizers panic where the token lies within what the one before it has taken, and strips.
      guard start <= end else { continue }
      if done < start { try body(.text(.init(rebasing: text[done..<start]))) }
      if start < end { try body(.token(token.id)) }
      done = end
    }
    if done < text.count { try body(.text(.init(rebasing: text[done...]))) }
  }

  private func firstMatch(in text: UnsafeRawBufferPointer, from start: Int) -> (Range<Int>, AddedToken)? {
    for position in start..<max(start, text.count) where isFirstByte[Int(text[position])] {
      for length in lengths[Int(text[position])] where position + length <= text.count {
        if let number = contents.find(UnsafeRawBufferPointer(rebasing: text[position..<position + length])) {
          return (position..<position + length, tokens[number])
        }
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
