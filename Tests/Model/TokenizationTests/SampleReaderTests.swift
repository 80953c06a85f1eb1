import JSON
import SystemIO
import TestSupport
import Testing
import Tokenization

@Suite struct SampleReaderTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func reader(_ texts: [String], _ selection: SampleSelection) throws -> SampleReader {
    let files = try texts.enumerated().map { try folder.write($1.utf8, to: "text\($0)") }
    return SampleReader(try files.map(InputFile.init), selection)
  }

  private func samples(_ texts: [String], _ selection: SampleSelection) throws -> [Sample] {
    let reader = try reader(texts, selection)
    var samples: [Sample] = []
    while let sample = try reader.next() { samples.append(sample) }
    return samples
  }

  /// 60 lines that can be told apart, and as many in between that are too short.
  private static let numbered = (0..<60).map { "line \($0) \(String(repeating: "x", count: 50))\nshort\n" }.joined()

  private func numbers(_ samples: [Sample]) -> [Int?] {
    samples.map { Int(String(decoding: $0.text, as: UTF8.self).split(separator: " ")[1]) }
  }

  @Test func keepsLeadingSpaceAndLineFeed() throws {
    let long = String(repeating: "y", count: 51)
    let found = try samples([" \(long) \n\n\r\n\(long)\r\n \(long)"], SampleSelection())
    #expect(found.map { String(decoding: $0.text, as: UTF8.self) } == [" \(long) \n", "\(long)\r\n", " \(long)"])
    #expect(found.map(\.index) == [0, 1, 2])
  }

  @Test("More characters than the minimum, in scalars and without white space at the ends")
  func minimum() throws {
    let texts = ["  abcde  \n", "abcdef\n", "é́👍🏽漢 字\n", "a    b\n", "\u{3000}abcdef\u{1f}\u{85}\n", "\n"]
    let found = try samples([texts.joined()], SampleSelection(minimumCharacters: 5))
    #expect(found.map { String(decoding: $0.text, as: UTF8.self).unicodeScalars.count } == [7, 8, 7, 10])
    #expect(try samples(["a\n\n b\n"], SampleSelection(minimumCharacters: 0)).count == 2)
  }

  @Test("White space is what Python's str.strip takes off")
  func pythonWhiteSpace() throws {
    let spaces = try #require(try JSON(parsing: try readFile("\(fixtures)/spaces.json")).elements).map(\.int)
    #expect(spaces.count > 25)
    let scalars = (0..<0x3100).filter { $0 != 0x0a }
    for isLeading in [true, false] {
      let lines = scalars.map { value -> String in
        let scalar = String(Unicode.Scalar(UInt32(value))!)
        return (isLeading ? scalar + "abc" : "abc" + scalar) + "\n"
      }
      let found = try samples([lines.joined()], SampleSelection(count: .max, minimumCharacters: 3))
      let expected = zip(scalars, lines).filter { !spaces.contains($0.0) }.map { Array($0.1.utf8) }
      #expect(found.map(\.text) == expected)
    }
  }

  @Test func countAndSkip() throws {
    #expect(numbers(try samples([Self.numbered], SampleSelection(count: 5))) == [0, 1, 2, 3, 4])
    let part = try samples([Self.numbered], SampleSelection(count: 5, skip: 57))
    #expect(numbers(part) == [57, 58, 59])
    #expect(part.map(\.index) == [57, 58, 59])
  }

  @Test func filesAreReadOneAfterAnother() throws {
    let long = String(repeating: "z", count: 60)
    let found = try samples(["\(long)\n\(long)1", "\(long)2\n", "", "\(long)3"], SampleSelection(skip: 1))
    #expect(found.map { String(decoding: $0.text.dropFirst(60), as: UTF8.self) } == ["1", "2\n", "3"])
    #expect(found.map(\.index) == [1, 2, 3])
  }

  /// As in WikiText's files: paragraphs, headings of all levels, a formula that was split, a table's legend.
  private static let articles = """
     \n = First title = \n \n \(paragraph("a")) \n \n = = Section = = \n \n \(paragraph("b")) the cut off
     = 1 rad / s and a nominal impedance k = \n = \(paragraph("c")) = \n \n = = = Part = = = \n \n \(paragraph("d")) \n \n \

     = A second title , x = y = \n \n \(paragraph("e")) \n \(paragraph("f")) \n \n = \(paragraph("G")) = \n \n \(paragraph("h")) \n
    """

  private static func paragraph(_ letter: String) -> String { String(repeating: letter, count: 60) }

  /// By the letter that a sample begins with, its document.
  private func documents(_ texts: [String], _ selection: SampleSelection) throws -> [Character: Int64] {
    let pairs = try samples(texts, selection).map { sample in
      (String(decoding: sample.text, as: UTF8.self).first { $0.isLetter }!, sample.document)
    }
    return Dictionary(uniqueKeysWithValues: pairs)
  }

  @Test func documentsBeginAtHeadingsOfTheFirstLevel() throws {
    let expected: [Character: Int64] = ["a": 0, "b": 0, "c": 0, "d": 0, "e": 1, "f": 1, "G": 2, "h": 2]
    #expect(try documents([Self.articles], SampleSelection()) == expected)
    for skip in 0..<8 {
      let part = try documents([Self.articles], SampleSelection(count: 2, skip: skip))
      #expect(part == expected.filter { part[$0.key] != nil } && part.count == min(2, 8 - skip))
    }
    for seed: UInt64 in 0..<5 {
      #expect(try documents([Self.articles], SampleSelection(shuffleSeed: seed)) == expected)
      let part = try documents([Self.articles], SampleSelection(count: 3, shuffleSeed: seed))
      #expect(part == expected.filter { part[$0.key] != nil } && part.count == 3)
    }
  }

  /// The rows of the data set that are not empty, one a line.
  @Test func documentsOfTextWithoutBlankLines() throws {
    let lines = Self.articles.split(separator: "\n").filter {
      !$0.allSatisfy(\.isWhitespace) && !$0.contains("rad / s")
    }
    let text = lines.map { "\($0)\n" }.joined().replacing(" = \(Self.paragraph("c")) = \n", with: "")
    #expect(try documents([text], SampleSelection()) == ["a": 0, "b": 0, "d": 0, "e": 1, "f": 1, "G": 2, "h": 2])
  }

  @Test func aFileIsADocument() throws {
    let texts = [
      "\(Self.paragraph("a"))\n\(Self.paragraph("b"))\n", "", Self.paragraph("c"),
      " = Title = \n \(Self.paragraph("d"))",
    ]
    #expect(try documents(texts, SampleSelection()) == ["a": 0, "b": 0, "c": 1, "d": 2])
  }

  /// Of pieces that are texts of their own, those that are too short are counted, too.
  @Test func aPieceIsADocumentWhereItIsATextOfItsOwn() throws {
    let (a, b) = (Self.paragraph("a"), " = \(Self.paragraph("b")) = ")
    #expect(
      try documents(["\(a)\0short\0\(b)\0", Self.paragraph("c")], SampleSelection(form: .zeroTerminated))
        == ["a": 0, "b": 2, "c": 3])
    #expect(
      try documents([#"{"t":"\#(a)"}"# + "\n" + #"{"t":"\#(b)"}"# + "\n"], SampleSelection(form: .jsonField("t")))
        == ["a": 0, "b": 1])
  }

  @Test("Lines longer than the reader's buffer")
  func longLines() throws {
    let long = String(repeating: "w", count: 300_000)
    let found = try samples(["\(long)\n\(long)é\n"], SampleSelection())
    #expect(found.map(\.text) == [Array("\(long)\n".utf8), Array("\(long)é\n".utf8)])
  }

  @Test("The order of a seed, by a second implementation of its rule")
  func shuffledOrder() throws {
    let orders = try #require(try JSON(parsing: try readFile("\(fixtures)/shuffles.json")).elements)
    #expect(orders.count >= 4)
    for order in orders {
      let seed = try #require(order["seed"]?.text.flatMap { UInt64($0) })
      let expected = try #require(order["order"]?.elements).map(\.int)
      let text = (0..<expected.count).map { "line \($0) \(String(repeating: "x", count: 50))\nshort\n" }.joined()
      let found = try samples([text], SampleSelection(count: .max, shuffleSeed: seed))
      #expect(numbers(found) == expected)
      // Each keeps its number in the text.
      #expect(found.map(\.index) == expected.map { $0.map(Int64.init) })
      // Parts are parts of the whole order.
      guard expected.count > 30 else { continue }
      let part = try samples([text], SampleSelection(count: 7, skip: 20, shuffleSeed: seed))
      #expect(part == Array(found[20..<27]))
    }
  }

  @Test(arguments: [nil, 3] as [UInt64?])
  func readingAheadChangesNothing(seed: UInt64?) throws {
    for (count, skip, limit) in [(5, 0, 3), (5, 0, 5), (5, 2, 100), (100, 0, 10), (100, 0, 100), (100, 55, 5)] {
      let selection = SampleSelection(count: count, skip: skip, shuffleSeed: seed)
      let expected = try samples([Self.numbered], selection)
      let reader = try reader([Self.numbered], selection)
      let remaining = try reader.remaining(readingAhead: limit)
      if limit >= count || limit > expected.count { #expect(remaining == expected.count) }
      if let remaining { #expect(remaining == expected.count) }
      var found: [Sample] = []
      while let sample = try reader.next() { found.append(sample) }
      #expect(found == expected)
    }
  }

  @Test("A line that is not UTF-8, after the last one that is needed, is not looked at")
  func stopsReading() throws {
    let good = Array("\(String(repeating: "a", count: 60))\n".utf8)
    let path = try folder.write(good + good + [0xff, 0x0a], to: "text")
    func read(_ selection: SampleSelection) throws -> Int {
      let reader = SampleReader([try InputFile(path: path)], selection)
      var count = 0
      while try reader.next() != nil { count += 1 }
      return count
    }
    #expect(try read(SampleSelection(count: 2)) == 2)
    #expect(throws: Failure(.malformed, "\(path): line 3: not UTF-8: byte 1: found 0xff")) {
      try read(SampleSelection(count: 3))
    }
    #expect(throws: Failure(.malformed, "\(path): line 3: not UTF-8: byte 1: found 0xff")) {
      try read(SampleSelection(count: 2, shuffleSeed: 1))
    }
  }

  @Test(
    "File, line and byte of what is not UTF-8",
    arguments: [
      ([0x61, 0xc3, 0x28], "byte 2: found 0xc3"), ([0xe2, 0x82], "byte 1: found 0xe2 0x82"),
      ([0x61, 0x62, 0x80], "byte 3: found 0x80"), ([0xc0, 0xaf], "byte 1: found 0xc0"),
      ([0xed, 0xa0, 0x80], "byte 1: found 0xed"), ([0xf4, 0x90, 0x80, 0x80], "byte 1: found 0xf4"),
    ] as [([UInt8], String)])
  func notUTF8(bytes: [UInt8], message: String) throws {
    let path = try folder.write(Array("short\n\n".utf8) + bytes + Array("\n".utf8), to: "text")
    let failure = try #require(throws: Failure.self) {
      try SampleReader([try InputFile(path: path)], SampleSelection()).next()
    }
    #expect(failure.kind == .malformed)
    #expect(failure.description.hasPrefix("\(path): line 3: not UTF-8: \(message)"), "\(failure)")
  }

  @Test(arguments: [nil, 3] as [UInt64?])
  func noSample(seed: UInt64?) throws {
    let wanted = "expected lines of more than 50 characters"
    for (text, found) in [
      ("a\nb\n", "\(wanted), found none in 2 lines; --min-chars sets how many"),
      ("a", "\(wanted), found none in 1 line; --min-chars sets how many"), ("", "the text is empty: \(wanted)"),
    ] {
      #expect(throws: Failure(.malformed, "no sample: \(found)")) {
        try samples([text], SampleSelection(shuffleSeed: seed))
      }
    }
    #expect(
      throws: Failure(
        .malformed, "no sample: expected more lines of more than 50 characters than the 60 to skip, found 60")
    ) { try samples([Self.numbered], SampleSelection(skip: 60, shuffleSeed: seed)) }
  }
}
