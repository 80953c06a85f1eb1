import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing
import Tokenization

/// The built program, from text to stream.
@Suite struct WtTokenizeTests {
  private static let tokenizer = "\(packageRoot)/Tests/TokenizationTests/Fixtures/strings"
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
    #expect(outcome.errors == "wt-tokenize: the text has 11 samples, 12 were asked for\n")
  }

  @Test(
    "What goes wrong leaves no whole stream",
    arguments: [
      (["--min-chars", "5000"], 65, "no sample: expected lines of more than 5000 characters, found none in 31 lines"),
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
      ["--batch-size", "65536", "--max-length", "65536"], ["--unknown"],
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
