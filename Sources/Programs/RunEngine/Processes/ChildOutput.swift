import SystemIO

/// Makes lines of bytes that come in pieces. One that is longer than `limit` is left out.
package struct LineJoiner {
  package static let limit = 65_536
  private var pending: [UInt8] = []
  private var isSkipping = false

  package init() {}

  /// - Parameter line: is called with each line that is complete now, without its line feed.
  package mutating func add(_ bytes: UnsafeRawBufferPointer, _ line: ([UInt8]) -> Void) {
    var rest = bytes[...]
    while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
      append(rest[..<end])
      if !isSkipping { line(pending) }
      (pending, isSkipping) = ([], false)
      rest = rest[(end + 1)...]
    }
    append(rest)
  }

  private mutating func append(_ bytes: Slice<UnsafeRawBufferPointer>) {
    isSkipping = isSkipping || pending.count + bytes.count > Self.limit
    if isSkipping { pending = [] } else { pending += bytes }
  }
}

/// What a program says on its standard error: the beginning, where a crash has its reason, and the end, where a failure
/// has it.
package struct Words {
  package static let limit = 16_384
  private var beginning: [UInt8] = []
  private var end: [UInt8] = []
  private var isCut = false

  package init() {}

  package mutating func add(_ bytes: UnsafeRawBufferPointer) {
    let kept = bytes.prefix(Self.limit / 2 - beginning.count)
    beginning += kept
    end += bytes[kept.endIndex...]
    if end.count > Self.limit / 2 {
      end.removeFirst(end.count - Self.limit / 2)
      isCut = true
    }
  }

  /// Lines that a terminal may be shown.
  package var text: String {
    let text = isCut ? beginning + Array("\n…\n".utf8) + end : beginning + end
    return text.split(separator: UInt8(ascii: "\n")).map { printable(String(decoding: $0, as: UTF8.self)) }
      .joined(separator: "\n")
  }
}
