/// Splitting expressions that are known, written by hand: the words that BPE works on, one at a time.
///
/// Every text is covered: each scalar is part of some match.
package enum WordSplitter {
  /// GPT-2's, which ByteLevel has of its own: Pythia and SmolLM2 use it, too.
  case gpt2
  /// Qwen2's, of which each number stands alone; or Llama 3's, of which up to three stand together.
  case qwen2, llama3
  /// Text in which `▁` stands for spaces, and begins words unless another one, or one of these bytes, is before it.
  case marked(joining: ByteSet)

  package static let gpt2Expression = #"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#

  package static let qwen2Expression = expression(numbers: #"\p{N}"#)
  package static let llama3Expression = expression(numbers: #"\p{N}{1,3}"#)

  private static func expression(numbers: String) -> String {
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"# + numbers
      + #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#
  }

  /// The one that does what `expression` says; nil for an expression that is not known.
  init?(_ expression: String) {
    switch expression {
    case Self.gpt2Expression: self = .gpt2
    case Self.qwen2Expression: self = .qwen2
    case Self.llama3Expression: self = .llama3
    default: return nil
    }
  }

  /// Calls `body` for each word.
  @inline(__always)
  func forEachWord(of text: UnsafeRawBufferPointer, _ body: (Range<Int>) throws -> Void) rethrows {
    var start = 0
    while start < text.count {
      let end =
        switch self {
        case .gpt2: Self.gpt2WordEnd(in: text, from: start)
        case .qwen2: Self.wordEnd(in: text, from: start, numbersTogether: 1)
        case .llama3: Self.wordEnd(in: text, from: start, numbersTogether: 3)
        case .marked(let joining): Self.markedWordEnd(in: text, from: start, joining)
        }
      try body(start..<end)
      start = end
    }
  }

  // MARK: The branches follow the alternatives of the expressions.

  /// Where the word that starts at `start` ends.
  ///
  /// - Parameter text: valid UTF-8; `start` is a scalar's first byte.
  @inline(__always)
  private static func wordEnd(in text: UnsafeRawBufferPointer, from start: Int, numbersTogether: Int) -> Int {
    if text[start] == UInt8(ascii: "'"), let end = contractionEnd(in: text, from: start) { return end }
    let (first, length) = ScalarClass.at(start, of: text)
    let next = start + length
    switch first {
    case .letter: return endOfRun(of: .letter, in: text, from: next)
    case .number: return endOfRun(of: .number, in: text, from: next, atMost: numbersTogether - 1)
    case .other:
      let (second, length) = ScalarClass.at(next, of: text)
      if second == .letter { return endOfRun(of: .letter, in: text, from: next + length) }
      return endOfLineBreaks(in: text, from: endOfRun(of: .other, in: text, from: next))
    case .space:
      let (second, length) = ScalarClass.at(next, of: text)
      if second == .letter { return endOfRun(of: .letter, in: text, from: next + length) }
      if second == .other, text[start] == UInt8(ascii: " ") {
        return endOfLineBreaks(in: text, from: endOfRun(of: .other, in: text, from: next + length))
      }
      return endOfWhiteSpace(in: text, from: start, prefersLineBreaks: true)
    case .lineBreak, .end: return endOfWhiteSpace(in: text, from: start, prefersLineBreaks: true)
    }
  }

  @inline(__always)
  private static func gpt2WordEnd(in text: UnsafeRawBufferPointer, from start: Int) -> Int {
    if text[start] == UInt8(ascii: "'"), let end = lowercaseContractionEnd(in: text, from: start) { return end }
    let (first, length) = ScalarClass.at(start, of: text)
    switch first {
    case .letter, .number, .other: return endOfRun(of: first, in: text, from: start + length)
    case .space where text[start] == UInt8(ascii: " "):
      let (second, length) = ScalarClass.at(start + 1, of: text)
      switch second {
      case .letter, .number, .other: return endOfRun(of: second, in: text, from: start + 1 + length)
      case .space, .lineBreak, .end: break
      }
    case .space, .lineBreak, .end: break
    }
    return endOfWhiteSpace(in: text, from: start, prefersLineBreaks: false)
  }

  /// Behind the marks at `start`, and the text behind them up to the next mark that begins a word.
  private static func markedWordEnd(in text: UnsafeRawBufferPointer, from start: Int, _ joining: ByteSet) -> Int {
    var end = start
    repeat {
      while isMark(at: end, of: text) { end += 3 }
      while end < text.count, !isMark(at: end, of: text) { end += 1 }
    } while end < text.count && joining.contains(text[end - 1])
    return end
  }

  /// `▁`, U+2581, in UTF-8.
  static let mark: [UInt8] = [0xe2, 0x96, 0x81]

  @inline(__always)
  private static func isMark(at position: Int, of text: UnsafeRawBufferPointer) -> Bool {
    position + 2 < text.count && text[position] == 0xe2 && text[position + 1] == 0x96 && text[position + 2] == 0x81
  }

  @inline(__always)
  private static func endOfRun(
    of kind: ScalarClass, in text: UnsafeRawBufferPointer, from start: Int, atMost limit: Int = .max
  ) -> Int {
    var end = start
    var count = 0
    while count < limit {
      let (found, length) = ScalarClass.at(end, of: text)
      if found != kind { return end }
      end += length
      count += 1
    }
    return end
  }

  private static func endOfLineBreaks(in text: UnsafeRawBufferPointer, from start: Int) -> Int {
    endOfRun(of: .lineBreak, in: text, from: start)
  }

  /// `\s*[\r\n]+|\s+(?!\S)|\s+`, or the last two alone: up to the run's last line break where it has one and that is
  /// preferred; else all of it at the text's end, and all but its last scalar before something else, unless that scalar
  /// is all there is.
  private static func endOfWhiteSpace(
    in text: UnsafeRawBufferPointer, from start: Int, prefersLineBreaks: Bool
  ) -> Int {
    var end = start
    var last = start
    var afterLineBreak: Int?
    while true {
      let (found, length) = ScalarClass.at(end, of: text)
      guard found == .space || found == .lineBreak else { break }
      last = end
      end += length
      if found == .lineBreak, prefersLineBreaks { afterLineBreak = end }
    }
    return afterLineBreak ?? (end == text.count || last == start ? end : last)
  }

  /// `'s|'t|'re|'ve|'m|'ll|'d`
  private static func lowercaseContractionEnd(in text: UnsafeRawBufferPointer, from start: Int) -> Int? {
    func byte(_ position: Int) -> UInt8 { position < text.count ? text[position] : 0 }
    switch (byte(start + 1), byte(start + 2)) {
    case (UInt8(ascii: "s"), _), (UInt8(ascii: "t"), _), (UInt8(ascii: "m"), _), (UInt8(ascii: "d"), _):
      return start + 2
    case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
      (UInt8(ascii: "l"), UInt8(ascii: "l")):
      return start + 3
    default: return nil
    }
  }

  /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)`. Case is folded by Unicode's rules, so "ſ" (U+017F) is an s.
  private static func contractionEnd(in text: UnsafeRawBufferPointer, from start: Int) -> Int? {
    func lowercase(_ position: Int) -> UInt8 { position < text.count ? text[position] | 0x20 : 0 }
    switch (lowercase(start + 1), lowercase(start + 2)) {
    case (UInt8(ascii: "s"), _), (UInt8(ascii: "t"), _), (UInt8(ascii: "m"), _), (UInt8(ascii: "d"), _):
      return start + 2
    case (UInt8(ascii: "r"), UInt8(ascii: "e")), (UInt8(ascii: "v"), UInt8(ascii: "e")),
      (UInt8(ascii: "l"), UInt8(ascii: "l")):
      return start + 3
    default:
      let isLongS = start + 2 < text.count && text[start + 1] == 0xc5 && text[start + 2] == 0xbf
      return isLongS ? start + 3 : nil
    }
  }
}

package struct ByteSet {
  private var bits = SIMD4<UInt64>()

  mutating func insert(_ byte: UInt8) { bits[Int(byte >> 6)] |= 1 << UInt64(byte & 63) }

  func contains(_ byte: UInt8) -> Bool { bits[Int(byte >> 6)] >> UInt64(byte & 63) & 1 == 1 }
}
