/// Numbers the documents of a text while its pieces are read in their order.
///
/// A file begins a document, and among lines a heading of WikiText's first level, ` = Title = `, does. Each JSON line
/// and each piece that ends in NUL is a document of its own.
struct DocumentCounter {
  /// The document of the piece that was read last, counted from 0.
  private(set) var number: Int64 = -1
  private let areLines: Bool
  /// Whether nothing but blank lines was read of the document.
  private var isEmpty = true
  private var followsBlankLine = true
  /// Whether blank lines stand between this file's paragraphs, as in WikiText's own files.
  private var hasBlankLines = false

  init(_ form: SampleForm) { areLines = form == .line }

  /// Tells that the next piece is the first of a file.
  mutating func beginFile() {
    guard areLines else { return }
    begin()
    (followsBlankLine, hasBlankLines) = (true, false)
  }

  mutating func add(_ piece: [UInt8]) {
    guard areLines else { return begin() }
    let line = piece.trimmingSpace
    if line.isEmpty {
      hasBlankLines = true
    } else {
      // A formula that was split into lines can look like a heading, but stands in its paragraph.
      if !isEmpty, followsBlankLine || !hasBlankLines, line.isFirstLevelHeading { begin() }
      isEmpty = false
    }
    followsBlankLine = line.isEmpty
  }

  private mutating func begin() {
    number += 1
    isEmpty = true
  }
}

extension Collection<UInt8> where Self: BidirectionalCollection, SubSequence == ArraySlice<UInt8> {
  /// Without the ASCII white space at both ends.
  fileprivate var trimmingSpace: ArraySlice<UInt8> {
    let isSpace: (UInt8) -> Bool = { $0 == 0x20 || (0x09...0x0d).contains($0) }
    guard let first = firstIndex(where: { !isSpace($0) }), let last = lastIndex(where: { !isSpace($0) }) else {
      return self[startIndex..<startIndex]
    }
    return self[first...last]
  }
}

extension ArraySlice<UInt8> {
  /// `= Title =`, but not `= = Section = =`.
  fileprivate var isFirstLevelHeading: Bool {
    let (sign, space) = (UInt8(ascii: "="), UInt8(ascii: " "))
    guard count > 4, starts(with: [sign, space]), suffix(2).elementsEqual([space, sign]) else { return false }
    let title = dropFirst(2).dropLast(2).trimmingSpace
    return !title.isEmpty && title.first != sign && title.last != sign
  }
}
