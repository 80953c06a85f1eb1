import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing
import Tokenization

/// The built program, from text to stream.
@Suite struct WtTokenizeTests {
  private static let tokenizer = "\(packageRoot)/Tests/Model/TokenizationTests/Fixtures/strings"
  private let program = Program("wt-tokenize")
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// 11 lines that become samples, each of another length, and others between them.
  private static let lines = (0..<11).map { number in
    " The river number \(number) runs past " + String(repeating: "the mill and ", count: 3 + number) + "the sea .\n"
  }
  private static let text = lines.joined(separator: " \n = Heading = \n")

  private func run(_ arguments: [String], input: String = Self.text) throws -> Program.Outcome {
    try program.run(["--tokenizer", Self.tokenizer] + arguments, input: Data(input.utf8))
  }

  /// The provenance and the batches of a stream, which must be whole.
  private func read(_ stream: Data) throws -> (provenance: [String: String], batches: [TokenBatch]) {
    let path = folder.file("stream.ts")
    try stream.write(to: URL(fileURLWithPath: path))
    let reader = StreamReader(try InputFile(path: path))
    let segment = try #require(try reader.nextSegment(.tokens))
    var batches: [TokenBatch] = []
    while let record = try reader.nextRecord() {
      #expect(record.metadata["batch"] == String(batches.count))
      batches.append(try TokenBatch(record))
    }
    #expect(try reader.nextSegment() == nil)
    return (segment.provenance, batches)
  }

  private func stream(_ arguments: [String], input: String = Self.text) throws -> [TokenBatch] {
    let outcome = try run(arguments, input: input)
    #expect(outcome.status == 0, "\(outcome.errors)")
    return try read(outcome.output).batches
  }

  /// All samples of the batches, one a batch.
  private func samples(_ batches: [TokenBatch]) -> [Int64: [Int32]] {
    var samples: [Int64: [Int32]] = [:]
    for batch in batches {
      for sample in 0..<batch.sampleCount {
        samples[batch.sampleIndex[sample]] = Array(batch.inputIDs[batch.rows(of: sample)])
      }
    }
    return samples
  }

  @Test func samplesAreTheLongLinesOfTheText() throws {
    let tokenizer = try Tokenizer(path: Self.tokenizer)
    let batches = try stream(["--batch-size", "4", "--max-length", "40"])
    #expect(batches.map(\.sampleCount) == [4, 4, 3])
    #expect(batches.flatMap(\.sampleIndex) == Array(0..<11))
    #expect(batches.allSatisfy { $0.validLengths == nil })
    let expected = try Self.lines.map { Array(try tokenizer.encode(Array($0.utf8)).prefix(40)) }
    #expect(expected.contains { $0.count < 40 } && expected.contains { $0.count == 40 })
    #expect(batches.flatMap(\.inputIDs) == expected.flatMap { $0 })
  }

  @Test func provenanceSaysWhatWasDone() throws {
    let outcome = try run(["--num-samples", "5", "--batch-size", "2"])
    let provenance = try read(outcome.output).provenance
    #expect(provenance["samples"] == "5")
    #expect(provenance["batches"] == "3")
    #expect(provenance["tokenizer"] == Self.tokenizer)
    #expect(provenance["tokenizer.xxh64"] == (try Tokenizer(path: Self.tokenizer)).contentHash)
    #expect(provenance["history.0"]?.hasPrefix("wt-tokenize --tokenizer ") == true)
    #expect(outcome.errors.contains("5 samples"))
    #expect(try run(["--num-samples", "5", "--quiet"]).errors == "")
  }

  @Test("Parts made with --skip make up the whole", arguments: [[], ["--shuffle", "--seed", "11"]])
  func skip(order: [String]) throws {
    let whole = samples(try stream(order))
    #expect(whole.count == 11)
    var parts: [Int64: [Int32]] = [:]
    for skip in ["0", "4", "8"] {
      let part = samples(try stream(order + ["--skip", skip, "--num-samples", "4", "--batch-size", "3"]))
      parts.merge(part) { _, _ in
        Issue.record("a sample number occurs in two parts")
        return []
      }
    }
    #expect(parts == whole)
  }

  @Test("Shuffled samples keep their numbers in the text")
  func shuffledNumbers() throws {
    let plain = try stream([])
    let shuffled = try stream(["--shuffle", "--seed", "7"])
    #expect(samples(shuffled) == samples(plain))
    #expect(shuffled.flatMap(\.sampleIndex) != plain.flatMap(\.sampleIndex))
  }

  @Test func shuffleDependsOnItsSeedOnly() throws {
    let plain = try stream([])
    let seven = try stream(["--shuffle", "--seed", "7"])
    #expect(seven == (try stream(["--shuffle", "--seed=7"])))
    #expect(seven != plain)
    #expect(try stream(["--shuffle", "--seed", "8"]) != seven)
    #expect(Set(samples(seven).values) == Set(samples(plain).values))
  }

  @Test func paddingFillsEverySample() throws {
    let plain = try stream(["--max-length", "60"])
    let padded = try stream(["--max-length", "60", "--padding", "max-length"])
    let pad = try Tokenizer(path: Self.tokenizer).padID()
    for (plain, padded) in zip(plain, padded) {
      let lengths = (0..<plain.sampleCount).map { plain.rows(of: $0).count }
      #expect(padded.validLengths == lengths.map(Int32.init))
      #expect(padded.cuSeqlens == (0...plain.sampleCount).map { Int32(60 * $0) })
      for sample in 0..<plain.sampleCount {
        let ids = Array(plain.inputIDs[plain.rows(of: sample)])
        #expect(
          Array(padded.inputIDs[padded.rows(of: sample)])
            == ids + Array(repeating: pad, count: 60 - ids.count))
      }
    }
    let chosen = try stream(["--max-length", "60", "--padding", "max-length", "--pad-id", "3"])
    #expect(chosen[0].inputIDs[Int(chosen[0].validLengths![0])] == 3)
  }

  // MARK: Special tokens and sides

  /// The fixture's tokenizer with a post-processor that puts token 1 before a text and 2 behind it, and with
  /// tokenizer_config.json.
  private func tokenizer(_ configuration: String) throws -> String {
    let json = try String(contentsOfFile: "\(Self.tokenizer)/tokenizer.json", encoding: .utf8)
    let template = #"""
      {"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"b"}},{"Sequence":{"id":"A"}},\
      {"SpecialToken":{"id":"e"}}],"special_tokens":{"b":{"ids":[1]},"e":{"ids":[2]}}}
      """#.replacingOccurrences(of: "\\\n", with: "")
    let changed = json.replacingOccurrences(of: #""post_processor":null"#, with: #""post_processor":\#(template)"#)
    #expect(changed != json)
    let path = folder.file("tokenizer")
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    try Data(changed.utf8).write(to: URL(fileURLWithPath: "\(path)/tokenizer.json"))
    try Data(configuration.utf8).write(to: URL(fileURLWithPath: "\(path)/tokenizer_config.json"))
    return path
  }

  @Test("Special tokens count against --max-length", arguments: ["right", "left"])
  func specialTokens(side: String) throws {
    let path = try tokenizer(#"{"truncation_side":"\#(side)"}"#)
    func ids(_ arguments: [String]) throws -> [[Int32]] {
      let outcome = try program.run(["--tokenizer", path] + arguments, input: Data(Self.text.utf8))
      #expect(outcome.status == 0, "\(outcome.errors)")
      let (provenance, batches) = try read(outcome.output)
      #expect(provenance["special_tokens"] == (arguments.contains("--no-special-tokens") ? "false" : "true"))
      return batches.flatMap { batch in (0..<batch.sampleCount).map { Array(batch.inputIDs[batch.rows(of: $0)]) } }
    }
    let plain = try ids(["--no-special-tokens", "--max-length", "500"])
    func cut(_ ids: [Int32], _ length: Int) -> [Int32] {
      Array(side == "left" ? ids.suffix(length) : ids.prefix(length))
    }
    #expect(try ids(["--max-length", "500"]) == plain.map { [1] + $0 + [2] })
    #expect(try ids(["--max-length", "40"]) == plain.map { [1] + cut($0, 38) + [2] })
    #expect(try ids(["--max-length", "40", "--no-special-tokens"]) == plain.map { cut($0, 40) })
    let none = try program.run(["--tokenizer", path, "--max-length", "1"], input: Data(Self.text.utf8))
    #expect(none.status == 64)
    #expect(none.errors.contains("--max-length: expected at least 2, for the special tokens"))
  }

  @Test func paddingComesBeforeSamplesWhereTheTokenizerSaysSo() throws {
    func batches(_ configuration: String, _ flags: [String] = []) throws -> [TokenBatch] {
      let outcome = try program.run(
        ["--tokenizer", try tokenizer(configuration)] + flags, input: Data(Self.text.utf8))
      return try read(outcome.output).batches
    }
    let padding = ["--padding", "max-length", "--max-length", "60"]
    let behind = try batches(#"{"padding_side":"right"}"#, padding)
    let before = try batches(#"{"padding_side":"left"}"#, padding)
    #expect(behind.allSatisfy { $0.validStarts == nil })
    for (behind, before) in zip(behind, before) {
      #expect(before.validLengths == behind.validLengths)
      #expect(before.validStarts == behind.validLengths!.map { 60 - $0 })
      for sample in 0..<behind.sampleCount {
        let ids = behind.inputIDs[behind.rows(of: sample)]
        let valid = Int(behind.validLengths![sample])
        #expect(Array(before.inputIDs[before.rows(of: sample)]) == Array(ids.dropFirst(valid) + ids.prefix(valid)))
      }
    }
    // Without padding there is no side to it.
    #expect(try batches(#"{"padding_side":"left"}"#) == batches(#"{"padding_side":"right"}"#))
  }

  // MARK: Forms of text

  @Test("Samples that end in NUL, and rows of JSON lines, keep their bytes", arguments: [[], ["--min-chars", "9"]])
  func otherForms(minimum: [String]) throws {
    let texts = [
      "one\nparagraph of two lines, and of more than fifty characters in all\n", "short one", " \r\n  ten chars.\r\n ",
      "\u{e9} e\u{301} \u{1f600} \\ \" \u{7f}, and so on to more than fifty characters, in one line.",
    ]
    let tokenizer = try Tokenizer(path: Self.tokenizer)
    let expected = try texts.filter { $0.count > (minimum.isEmpty ? 50 : 9) }.map {
      try tokenizer.encode(Array($0.utf8))
    }
    func ids(_ arguments: [String], _ text: String) throws -> [[Int32]] {
      let batches = try stream(arguments + minimum + ["--max-length", "500", "--batch-size", "1"], input: text)
      return batches.map(\.inputIDs)
    }
    #expect(expected.count == (minimum.isEmpty ? 2 : 3))
    #expect(try ids(["--zero-terminated"], texts.joined(separator: "\0")) == expected)
    #expect(try ids(["--zero-terminated"], texts.map { "\($0)\0" }.joined()) == expected)
    let rows = try texts.map { text in
      let row = try JSONEncoder().encode(["id": "x", "the text": text])
      return String(decoding: row, as: UTF8.self)
    }
    #expect(try ids(["--json-field", "the text"], rows.joined(separator: "\r\n") + "\n\n") == expected)
  }

  @Test(
    "Rows that are none",
    arguments: [
      ("{\"text\":\"a\"}\nno row\n", "-: line 2: not JSON: byte 0: expected 'null', found 'o'"),
      ("{\"text\":\"a\"}\n{\"other\":1}\n", "-: line 2: field \"text\": expected a string, found none"),
      ("{\"text\":null}\n", "-: line 1: field \"text\": expected a string, found none"),
      ("\n[\"text\"]\n", "-: line 2: not a row of JSON lines: expected an object, found [\"text\"]"),
    ])
  func wrongRows(text: String, message: String) throws {
    let outcome = try run(["--json-field", "text"], input: text)
    #expect(outcome.status == 65)
    #expect(outcome.errors.hasPrefix("wt-tokenize: \(message.prefix(20))"), "\(outcome.errors)")
    if !text.contains("no row") { #expect(outcome.errors == "wt-tokenize: \(message)\n") }
    #expect(outcome.output.isEmpty)
  }

  @Test(
    "Text that may be meant otherwise is said, also when quiet",
    arguments: [
      (lines.joined().replacingOccurrences(of: "\n", with: "\r\n"), "-: its lines end in CR LF"),
      (
        lines.map { "{\"text\": \"\($0.dropLast())\"}\n" }.joined(),
        "-: looks like JSON lines, each of which is a sample as it stands: --json-field text"
      ),
      ("{\"body\": \"\(String(repeating: "a", count: 60))\"}", "--json-field FIELD takes a field's text"),
      ("\u{feff}" + lines.joined(), "-: begins with a byte-order mark, which is part of the first sample"),
      (lines.joined().replacingOccurrences(of: "\n", with: "\r"), "-: has CR alone between its lines"),
      (lines.joined() + "one with a CR\r\n", nil), (lines[0] + "\r", nil), ("{no JSON}\n" + lines.joined(), nil),
      (lines.joined(), nil),
    ] as [(String, String?)])
  func warnings(text: String, warning: String?) throws {
    for input in [text, nil] {
      let path = folder.file("text")
      try Data(text.utf8).write(to: URL(fileURLWithPath: path))
      let outcome = try run(["--quiet", "--num-samples", "1"] + (input == nil ? [path] : []), input: input ?? "")
      #expect(outcome.status == 0, "\(outcome.errors)")
      if let warning {
        #expect(outcome.errors.contains(input == nil ? warning.replacingOccurrences(of: "-: ", with: ": ") : warning))
        #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
      } else {
        #expect(outcome.errors.isEmpty, "\(outcome.errors)")
      }
    }
  }

  @Test(
    "What is no text is named, in every file before any sample",
    arguments: [
      ([0x1f, 0x8b, 8, 0], "gzip data"), ([0x28, 0xb5, 0x2f, 0xfd], "zstd data"),
      (Array("PAR1".utf8), "a Parquet file"),
      (Array("ARROW1\0\0".utf8), "an Arrow file"), ([0xff, 0xff, 0xff, 0xff, 0, 1], "an Arrow stream"),
      (Array("PK\u{3}\u{4}".utf8), "a zip archive"), ([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0], "xz data"),
      (Array("BZh9".utf8), "bzip2 data"), ([0xff, 0xfe, 0x61, 0], "UTF-16"), ([0xfe, 0xff, 0, 0x61], "UTF-16"),
      (Array("a\0b\0c\0d\0e\0".utf8), "iconv -f UTF-16LE"), (Array("\0a\0b\0c\0d\0e".utf8), "iconv -f UTF-16BE"),
      (Array("version https://git-lfs.github.com/spec/v1\n".utf8), "a Git LFS pointer"),
    ] as [([UInt8], String)])
  func noText(bytes: [UInt8], name: String) throws {
    let (good, bad) = (folder.file("good"), folder.file("bad"))
    try Data(Self.text.utf8).write(to: URL(fileURLWithPath: good))
    try Data(bytes).write(to: URL(fileURLWithPath: bad))
    let outcome = try run(["--num-samples", "1", good, bad])
    #expect(outcome.status == 65)
    #expect(outcome.errors.hasPrefix("wt-tokenize: \(bad): expected text in UTF-8, found "), "\(outcome.errors)")
    #expect(outcome.errors.contains(name), "\(outcome.errors)")
    #expect(outcome.output.isEmpty)
    let piped = try program.run(["--tokenizer", Self.tokenizer], input: Data(bytes))
    #expect(piped.errors.hasPrefix("wt-tokenize: -: expected text in UTF-8, found "), "\(piped.errors)")
  }

  // MARK: Which text it was

  private func hash(_ bytes: some Sequence<UInt8>) -> String {
    Array(bytes).withUnsafeBytes { ContentHash.of($0) }
  }

  @Test func provenanceTellsTextsApart() throws {
    let long = Array(String(repeating: Self.text, count: 100).utf8)
    #expect(long.count > 140_000)
    let (first, second) = (folder.file("first"), folder.file("second"))
    try Data(long.prefix(50_000)).write(to: URL(fileURLWithPath: first))
    try Data(long.dropFirst(50_000)).write(to: URL(fileURLWithPath: second))
    func provenance(_ command: String) throws -> [String: String] {
      let stream = folder.file("text.ts")
      let tokenizer = "wt-tokenize --quiet --tokenizer '\(Self.tokenizer)' --num-samples 2"
      let outcome = try Program.shell("\(command.replacingOccurrences(of: "TOKENIZE", with: tokenizer)) > '\(stream)'")
      #expect(outcome.status == 0, "\(outcome.errors)")
      return try read(try Data(contentsOf: URL(fileURLWithPath: stream))).provenance
    }
    let start = hash(long.prefix(65_536))
    let named = try provenance("TOKENIZE '\(first)' '\(second)'")
    #expect(named["text"] == "\(first)\n\(second)")
    #expect(named["text.xxh64"] == hash(long))
    #expect(named["text.start.xxh64"] == start)
    #expect(named["samples.order"] == "text")
    let shuffled = try provenance("TOKENIZE --shuffle '\(first)' '\(second)'")
    #expect(shuffled["samples.order"] == "shuffled")
    // From a pipe only the start, and from one that never ends too.
    for command in ["cat '\(first)' '\(second)' | TOKENIZE", "{ cat '\(first)' '\(second)'; yes; } | TOKENIZE"] {
      let piped = try provenance(command)
      #expect(piped["text"] == "-")
      #expect(piped["text.xxh64"] == nil)
      #expect(piped["text.start.xxh64"] == start)
    }
    let mixed = try provenance("cat '\(second)' | TOKENIZE '\(first)' -")
    #expect(mixed["text.xxh64"] == nil)
    #expect(mixed["text.start.xxh64"] == start)
    // Standard input from where it is, which the hash leaves alone.
    let redirected = try provenance("{ head -c 0; TOKENIZE; } < '\(second)'")
    #expect(redirected["text.xxh64"] == hash(long.dropFirst(50_000)))
    let rest = try provenance("{ dd bs=1000 count=1 status=none > /dev/null; TOKENIZE; } < '\(second)'")
    #expect(rest["text.xxh64"] == hash(long.dropFirst(51_000)))
    #expect(rest["text.start.xxh64"] == hash(long.dropFirst(51_000).prefix(65_536)))
  }

  @Test("Underscores in flags, as the Python scripts have them")
  func underscores() throws {
    #expect(try stream(["--num_samples=3", "--batch_size", "2"]).map(\.sampleCount) == [2, 1])
  }

  @Test func filesAndStandardInputGiveTheSame() throws {
    let path = folder.file("text")
    try Data(Self.text.utf8).write(to: URL(fileURLWithPath: path))
    #expect(try stream([path], input: "") == (try stream([])))
    let twice = try stream([path, "-"])
    #expect(samples(twice).count == 22)
    #expect(try stream([path, "-"], input: "") == (try stream([])))
  }

  @Test func fewerSamplesThanAskedForAreSaid() throws {
    let outcome = try run(["--num-samples", "12", "--quiet"])
    #expect(outcome.status == 0)
    #expect(outcome.errors == "wt-tokenize: warning: the text has only 11 samples, 12 were asked for\n")
  }

  @Test(
    "What goes wrong leaves no whole stream",
    arguments: [
      (
        ["--min-chars", "5000"], 65,
        "no sample: expected lines of more than 5000 characters, found none in 31 lines; --min-chars"
      ),
      (["/dev/null"], 65, "no sample: the text is empty: expected lines of more than 50 characters"),
      (
        ["--skip", "11"], 65, "no sample: expected more lines of more than 50 characters than the 11 to skip, found 11"
      ),
      (["/nowhere/text"], 66, "/nowhere/text: cannot open: No such file or directory"),
    ] as [([String], Int32, String)])
  func failures(arguments: [String], status: Int32, message: String) throws {
    let outcome = try run(arguments)
    #expect(outcome.status == status)
    #expect(outcome.errors.hasPrefix("wt-tokenize: "))
    #expect(outcome.errors.contains(message), "\(outcome.errors)")
    #expect(outcome.output.isEmpty)
  }

  @Test func bytesThatAreNotUTF8() throws {
    let text = Data(Self.lines[0].utf8) + Data([0x61, 0x62, 0xff, 0x0a])
    let outcome = try program.run(["--tokenizer", Self.tokenizer], input: text)
    #expect(outcome.status == 65)
    #expect(outcome.errors == "wt-tokenize: -: line 2: not UTF-8: byte 3: found 0xff\n")
    #expect(outcome.output.isEmpty)
    // A sample before it is enough where no more are asked for.
    #expect(try program.run(["--tokenizer", Self.tokenizer, "--num-samples", "1"], input: text).status == 0)
  }

  @Test func missingTokenizer() throws {
    let outcome = try program.run(["--tokenizer", "no-such-owner/no-such-model"])
    #expect(outcome.status == 66)
    #expect(outcome.errors.contains("hf download no-such-owner/no-such-model"))
  }

  @Test(
    "Usage",
    arguments: [
      ["--num-samples", "0"], ["--batch-size", "0"], ["--max-length", "0"], ["--min-chars=-1"], ["--skip=-1"],
      ["--seed", "3"], ["--pad-id", "3"], ["--padding", "longest"], ["--pad-id=-1", "--padding", "max-length"],
      ["--batch-size", "65536", "--max-length", "65536"], ["--unknown"], ["--zero-terminated", "--json-field", "text"],
    ])
  func usage(arguments: [String]) throws {
    let outcome = try run(arguments)
    #expect(outcome.status == 64)
    #expect(!outcome.errors.isEmpty)
    #expect(outcome.output.isEmpty)
  }

  @Test func helpShowsAnExample() throws {
    let outcome = try program.run(["--help"])
    #expect(outcome.status == 0)
    #expect(outcome.text.contains("e.g.  wt-tokenize --tokenizer"))
  }

  @Test func failedWritesAndGoneReaders() throws {
    let text = folder.file("text")
    try Data(Self.text.utf8).write(to: URL(fileURLWithPath: text))
    let command = "wt-tokenize --quiet --tokenizer '\(Self.tokenizer)' --num-samples 11 '\(text)'"
    let full = try Program.shell("\(command) > /dev/full")
    #expect(full.status == 74)
    #expect(full.errors.contains("No space left on device"))
    let closed = try Program.shell("\(command) | true; echo ${PIPESTATUS[0]}")
    #expect(closed.errors.isEmpty)
    #expect(["0\n", "141\n"].contains(closed.text), "\(closed.text)")
  }
}
