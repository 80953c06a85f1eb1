import Foundation
import TensorStream
import TestSupport
import Testing

/// Samples of several texts: refused unless asked for, and then told apart by text and number.
@Suite struct MixedTextsTests {
  /// A gradients stream of one value for each sample.
  private func gradients(_ whole: String?, _ start: String?, _ samples: [Int64: Float]) throws -> Data {
    Data(
      try streamBytes { writer in
        let hashes = ["text.xxh64": whole, "text.start.xxh64": start].compactMapValues { $0 }
        try writer.begin(.gradients, provenance: hashes.merging(["text": "a name"]) { $1 })
        var record = OutputRecord()
        let numbers = samples.keys.sorted()
        GradientBatch(
          cuPositions: Array(0...Int32(numbers.count)), position: numbers.map { _ in 0 }, token: numbers.map { _ in 0 },
          sampleIndex: numbers,
          predictions: numbers.map { _ in 1 }
        ).add(to: &record)
        record.add("grad.mlp_out.0", numbers.map { samples[$0]! }, shape: [numbers.count, 1])
        try writer.write(record, batch: 0)
        try writer.end()
      })
  }

  private func run(_ arguments: [String], _ input: Data) throws -> Program.Outcome {
    try Program("grad-aggregate").run(["-q"] + arguments, input: input)
  }

  private let remedy = "; --mix-texts averages over several texts"
  private let twice = "sample 0 was aggregated already: is an input given twice?"

  @Test func aFlagMixesTexts() throws {
    let (a, b, c) = try (gradients("1", "s", [0: 1, 1: 2]), gradients("2", "t", [0: 6]), gradients(nil, "u", [0: 11]))
    let refused = try run([], a + b)
    #expect(
      refused.failed(
        65, saying: "the inputs do not belong together: text.xxh64: expected 1 as before, found 2\(remedy)"),
      "\(refused.errors)")
    #expect(try run([], a + c).failed(65, saying: "text.start.xxh64: expected s as before, found u\(remedy)"))

    let mixed = ["--mix-texts"]
    let whole = try DemoRun.output("grad-aggregate", mixed, a + b + c)
    #expect(try averages(whole)["mean_abs.mlp_out.0"] == [5])
    let sums = try [a, b, c].map { try DemoRun.output("grad-aggregate", ["--partial"], $0) }
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2], [2, 0, 1]] {
      let two = try DemoRun.output("grad-aggregate", mixed + ["--partial"], sums[order[0]] + sums[order[1]])
      // What is mixed already can be read alone, and is merged in either order where that is asked for.
      #expect(try run([], two).status == 0)
      #expect(try run([], two + sums[order[2]]).failed(65, saying: remedy))
      for joined in [two + sums[order[2]], sums[order[2]] + two] {
        let found = try DemoRun.output("grad-aggregate", mixed, joined)
        #expect(try averages(found) == averages(whole))
        #expect(try numbers(found) == numbers(whole))
      }
      #expect(try run(mixed, two + sums[order[1]]).failed(65, saying: twice))
      #expect(try run(mixed, sums[order[0]] + two).failed(65, saying: twice))
    }
    #expect(try numbers(whole) == [[0, 2, 0, 1, 0, 1], [0, 1, 2]])
    let listing = try Program("stream-info").run([], input: whole).text
    #expect(
      listing.contains("  text.start.xxh64  s\\nt\\nu\n") && listing.contains("  text.xxh64  1\\n2\\n\n"), "\(listing)")
  }

  /// What counts as a sample decides which number it has: parts of one text that count otherwise may hold one sample
  /// twice under different numbers.
  @Test(arguments: ["--min-chars 20", "--zero-terminated", "--json-field text"]) func otherCandidates(
    _ flags: String
  ) throws {
    let folder = try TemporaryFolder()
    let row = "{\"text\": \"This is a row of some text that is long enough to be taken for a sample.\"}"
    try Data("\(row)\n\(row)\n\(row)\n\0\(row)".utf8).write(to: folder.url("text"))
    func gradients(_ flags: String) throws -> Data {
      let pipeline = """
        set -o pipefail
        wt-tokenize --tokenizer '\(DemoRun.model)' --num-samples 1 \(flags) '\(folder.file("text"))' |
          qwen-capture --model '\(DemoRun.model)' --layers 3 | act-grad --model '\(DemoRun.model)'
        """
      let outcome = try Program.shell(pipeline)
      #expect(outcome.status == 0, "\(outcome.errors)")
      return outcome.output
    }
    let first = try gradients("")
    #expect(try run([], first + gradients("--skip 1")).status == 0)
    let other = try run([], first + gradients("--skip 1 \(flags)"))
    let key = flags.contains("min-chars") ? "min_chars: expected 50 as before" : "samples.form: expected line as before"
    #expect(other.failed(65, saying: "the inputs do not belong together: \(key)"), "\(other.errors)")
  }

  /// A pipe's text may be a file's that begins alike.
  @Test func aTextThatIsKnownByItsStart() throws {
    let (file, pipe) = try (gradients("1", "s", [0: 1]), { try gradients(nil, "s", $0) })
    for flags in [[], ["--mix-texts"]] {
      #expect(try averages(DemoRun.output("grad-aggregate", flags, file + pipe([1: 3])))["mean_abs.mlp_out.0"] == [2])
      #expect(try run(flags, file + pipe([0: 3])).failed(65, saying: twice))
      #expect(try run(flags, pipe([0: 3]) + file).failed(65, saying: twice))
    }
    // Sums of both are of one text: no flag is needed to go on with them.
    let sums = try DemoRun.output("grad-aggregate", ["--partial"], file + pipe([1: 3]))
    let adding = { (gradients: Data) in try sums + DemoRun.output("grad-aggregate", ["--partial"], gradients) }
    let three = try DemoRun.output("grad-aggregate", [], adding(gradients("1", "s", [2: 8])))
    #expect(try averages(three)["mean_abs.mlp_out.0"] == [4])
    #expect(try run([], adding(pipe([0: 3]))).failed(65, saying: twice))
    #expect(try run([], adding(gradients("1", "s", [1: 3]))).failed(65, saying: "sample 1 was aggregated already"))
  }

  @Test func aTextWithoutHashes() throws {
    let (known, unknown) = try (gradients("1", "s", [0: 1]), gradients(nil, nil, [1: 1]))
    for flags in [[], ["--mix-texts"]] {
      let refused = try run(flags, known + unknown)
      #expect(
        refused.failed(65, saying: "text.start.xxh64: expected s as before, found none")
          && !refused.errors.contains("--mix-texts"), "\(refused.errors)")
      #expect(try run(flags, unknown + gradients(nil, nil, [0: 1])).status == 0)
      #expect(try run(flags, unknown + gradients(nil, nil, [1: 1])).failed(65, saying: "sample 1 was aggregated"))
    }
  }

  /// `samples.mlp_out.0` and `texts.mlp_out.0`.
  private func numbers(_ aggregates: Data) throws -> [[Int64]] {
    let reader = StreamReader(try ReusedFile().opened(with: Array(aggregates)))
    _ = try reader.nextSegment(.aggregates)
    let record = try #require(try reader.nextRecord())
    return [
      Array(try record.tensor("samples.mlp_out.0", shape: [nil, 2], of: Int64.self)),
      Array(try record.tensor("texts.mlp_out.0", shape: [nil], of: Int64.self)),
    ]
  }
}
