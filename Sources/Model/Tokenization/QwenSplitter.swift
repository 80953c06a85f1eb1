/// Qwen2's pre-tokenizer: the words that BPE works on, one at a time.
enum QwenSplitter {
  /// What this type does, as `tokenizer.json` says it. Every text is covered: each scalar is part of some match.
  static let expression =
    #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

  /// Where the word that starts at `start` ends. The branches follow the alternatives of the expression.
  ///
  /// - Parameter text: valid UTF-8; `start` is a scalar's first byte.
  @inline(__always)
  static func wordEnd(in text: UnsafeRawBufferPointer, from start: Int) -> Int {
    if text[start] == UInt8(ascii: "'"), let end = contractionEnd(in: text, from: start) { return end }
    let (first, length) = ScalarClass.at(start, of: text)
    let next = start + length
    switch first {
    case .letter: return endOfRun(of: .letter, in: text, from: next)
    case .number: return next
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
      return endOfWhiteSpace(in: text, from: start)
    case .lineBreak, .end: return endOfWhiteSpace(in: text, from: start)
    }
  }

  @inline(__always)
  private static func endOfRun(of kind: ScalarClass, in text: UnsafeRawBufferPointer, from start: Int) -> Int {
    var end = start
    while true {
      let (found, length) = ScalarClass.at(end, of: text)
      if found != kind { return end }
      end += length
    }
  }

  private static func endOfLineBreaks(in text: UnsafeRawBufferPointer, from start: Int) -> Int {
    endOfRun(of: .lineBreak, in: text, from: start)
  }

  /// `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the run's last line break where it has one; else all of it at the text's end,
  /// and all but its last scalar before something else, unless that scalar is all there is.
  private static func endOfWhiteSpace(in text: UnsafeRawBufferPointer, from start: Int) -> Int {
    var end = start
    var last = start
    var afterLineBreak: Int?
    while true {
      let (found, length) = ScalarClass.at(end, of: text)
      guard found == .space || found == .lineBreak else { break }
      last = end
      end += length
      if found == .lineBreak { afterLineBreak = end }
    }
    return afterLineBreak ?? (end == text.count || last == start ? end : last)
  }

  /// `(?i:'s|'t|'re|'ve|'m|'ll|'d)`. Case is folded by Unicode's rules, so "ſ" (U+017F) is an s.
  private static func contractionEnd(in text: UnsafeRawBufferPointer, from start: Int) -> Int? {
    func lowercase(_ position: Int) -> UInt8 { position < text.count ? text[position] | 0x20 : 0 }
    let pair = (lowercase(start + 1), lowercase(start + 2))
    switch pair {
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
