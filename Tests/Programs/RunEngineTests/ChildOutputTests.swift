import RunEngine
import Testing

struct ChildOutputTests {
  private func lines(_ pieces: [[UInt8]]) -> [String] {
    var (joiner, lines) = (LineJoiner(), [String]())
    for piece in pieces {
      piece.withUnsafeBytes { joiner.add($0) { lines.append(String(decoding: $0, as: UTF8.self)) } }
    }
    return lines
  }

  @Test func linesAreTheSameHoweverTheyAreCut() {
    let text = Array("one\n\ntwo three\nfour\nhalf".utf8)
    for size in 1...text.count {
      let pieces = stride(from: 0, to: text.count, by: size).map { Array(text[$0..<min($0 + size, text.count)]) }
      #expect(lines(pieces) == ["one", "", "two three", "four"])
    }
  }

  @Test(arguments: [0, 1, 200_000])
  func aLineThatIsTooLongIsLeftOut(excess: Int) {
    let long = [UInt8](repeating: 0x61, count: LineJoiner.limit + excess)
    let pieces = [Array("before\n".utf8), Array(long.prefix(7)), Array(long.dropFirst(7)), Array("\nafter\n".utf8)]
    #expect(lines(pieces).count == (excess == 0 ? 3 : 2))
    #expect(lines(pieces).last == "after")
  }

  @Test func wordsKeepTheirBeginningAndTheirEnd() {
    var words = Words()
    let text = Array((0..<10_000).map { "line \($0)\n" }.joined().utf8)
    for start in stride(from: 0, to: text.count, by: 999) {
      text[start..<min(start + 999, text.count)].withUnsafeBytes { words.add($0) }
    }
    #expect(words.text.hasPrefix("line 0\nline 1\n"))
    #expect(words.text.hasSuffix("line 9998\nline 9999"))
    #expect(words.text.contains("\n…\n"))
    #expect(words.text.utf8.count <= Words.limit + 8)
  }
}
