import Glibc
import JSON
import SystemIO

/// What text is split at or replaced, as `tokenizer.json` names it.
enum TextPattern {
  case literal([UInt8])
  case words(WordSplitter)
  /// Single numbers, of every script and kind.
  case numbers
  case expression(RegularExpression)

  /// - Parameter json: `{"String": "…"}` or `{"Regex": "…"}`.
  init(_ json: JSON?, at place: String) throws {
    if let literal = json?["String"]?.utf8, !literal.isEmpty {
      self = .literal(literal)
    } else if let expression = json?["Regex"]?.text {
      self =
        try WordSplitter(expression).map { .words($0) }
        ?? .expression(of(place) { try RegularExpression(expression) })
    } else {
      throw unexpected(json, at: place, "{\"String\": \"…\"} or {\"Regex\": \"…\"}")
    }
  }

  /// Calls `body` for each match, and for what lies between them, from first to last. A match may be empty.
  func forEachPiece(
    of text: UnsafeRawBufferPointer, _ body: (Range<Int>, _ isMatch: Bool) throws -> Void
  ) throws {
    var done = 0
    func match(_ range: Range<Int>) throws {
      if done < range.lowerBound { try body(done..<range.lowerBound, false) }
      try body(range, true)
      done = range.upperBound
    }
    switch self {
    case .words(let splitter):
      try splitter.forEachWord(of: text) { try body($0, true) }
      return
    case .literal(let literal):
      while let start = firstOccurrence(of: literal, in: text, from: done) { try match(start..<start + literal.count) }
    case .numbers:
      var position = 0
      while position < text.count {
        let (scalar, length) = decodeScalar(at: position, of: text)
        if scalar.isRustNumeric { try match(position..<position + length) }
        position += length
      }
    case .expression(let expression):
      var position = 0
      var lastEnd: Int?
      while position <= text.count, let found = try expression.firstMatch(in: text, from: position) {
        // An empty match right behind another one does not count.
        if found.isEmpty, found.lowerBound == lastEnd {
          position += position < text.count ? decodeScalar(at: position, of: text).length : 1
          continue
        }
        try match(found)
        position = found.upperBound
        lastEnd = position
      }
    }
    if done < text.count { try body(done..<text.count, false) }
  }

  /// `text` with each match replaced; nil where there is none.
  func replacing(with content: [UInt8], in text: UnsafeRawBufferPointer) throws -> [UInt8]? {
    var replaced: [UInt8] = []
    var isChanged = false
    try forEachPiece(of: text) { range, isMatch in
      if isMatch, !isChanged {
        isChanged = true
        replaced.reserveCapacity(text.count + text.count / 4)
        replaced.append(contentsOf: text[..<range.lowerBound])
      }
      guard isChanged else { return }
      if isMatch { replaced.append(contentsOf: content) } else { replaced.append(contentsOf: text[range]) }
    }
    return isChanged ? replaced : nil
  }
}

/// Where `literal`, which is not empty, first stands in `text` at `start` or behind it.
func firstOccurrence(of literal: [UInt8], in text: UnsafeRawBufferPointer, from start: Int) -> Int? {
  guard let address = text.baseAddress else { return nil }
  var start = start
  while start + literal.count <= text.count,
    let found = memchr(address + start, Int32(literal[0]), text.count - start - literal.count + 1)
  {
    start = UnsafeRawPointer(found) - address
    if memcmp(found, literal, literal.count) == 0 { return start }
    start += 1
  }
  return nil
}

/// What becomes of a match where text is split.
enum SplitBehavior: String {
  case removed = "Removed"
  case isolated = "Isolated"
  case mergedWithPrevious = "MergedWithPrevious"
  case mergedWithNext = "MergedWithNext"
  case contiguous = "Contiguous"

  /// Calls `body` for each part of `text`; none is empty.
  ///
  /// - Parameter isInverted: what lies between matches is a match, and a match is none.
  func forEachPart(
    of text: UnsafeRawBufferPointer, at pattern: TextPattern, isInverted: Bool,
    _ body: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    func part(_ range: Range<Int>) throws {
      if !range.isEmpty { try body(UnsafeRawBufferPointer(rebasing: text[range])) }
    }
    if self == .isolated {
      try pattern.forEachPiece(of: text) { range, _ in try part(range) }
      return
    }
    // Pieces follow one another without a gap, so that a part which still may grow is a range.
    var open: Range<Int>?
    var previousIsMatch = false
    func close() throws {
      if let range = open { try part(range) }
      open = nil
    }
    try pattern.forEachPiece(of: text) { range, found in
      let isMatch = found != isInverted
      let grows =
        switch self {
        case .isolated: false
        case .removed: false
        case .contiguous: isMatch == previousIsMatch
        case .mergedWithPrevious: isMatch && !previousIsMatch
        case .mergedWithNext: !isMatch && previousIsMatch
        }
      if grows, let start = open?.lowerBound {
        open = start..<range.upperBound
      } else {
        try close()
        if self != .removed || !isMatch { open = range }
      }
      previousIsMatch = isMatch
    }
    try close()
  }
}

extension Unicode.Scalar {
  /// Rust's `char::is_numeric`, by Unicode 17.0, which this Swift's tables may lack.
  fileprivate var isRustNumeric: Bool {
    if isASCII { return ("0"..."9").contains(self) }
    switch properties.generalCategory {
    case .decimalNumber, .letterNumber, .otherNumber: return wasAssigned(by: 17)
    default: return (0x11de0...0x11de9).contains(value) || (0x16ff4...0x16ff6).contains(value)
    }
  }
}
