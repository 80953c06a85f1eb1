import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// What --sums writes is what grad-aggregate makes of the gradients, to the last bit.
@Suite struct SumsTests {
  private static let autoencoders = ["--sae", DemoRun.autoencoders]

  /// The tensors of a stream's data records, by name.
  private func tensors(_ stream: Data) throws -> (provenance: [String: String], tensors: [String: [UInt8]]) {
    let reader = StreamReader(try ReusedFile().opened(with: Array(stream)))
    var (found, provenance): ([String: [UInt8]], [String: String]) = ([:], [:])
    while let segment = try reader.nextSegment(.aggregates) {
      provenance = segment.provenance.filter { !$0.key.hasPrefix("history.") }
      while let record = try reader.nextRecord() {
        for tensor in record.header.tensors { found[tensor.name] = Array(record.bytes(of: tensor)) }
      }
    }
    return (provenance, found)
  }

  private func files(_ folder: String) throws -> [String: Data] {
    let names = try FileManager.default.contentsOfDirectory(atPath: folder)
    return try Dictionary(
      uniqueKeysWithValues: names.map { ($0, try Data(contentsOf: URL(fileURLWithPath: "\(folder)/\($0)"))) })
  }

  /// Compares the sums themselves, and then the files and the text that are made of them.
  private func compare(_ program: String, _ arguments: [String], _ choices: [String], _ activations: Data) throws {
    let gradients = try DemoRun.output(program, arguments, activations)
    let sums = try DemoRun.output(program, arguments + ["--sums"] + choices, activations)
    let (found, expected) = (
      try tensors(sums), try tensors(DemoRun.output("grad-aggregate", choices + ["--partial"], gradients))
    )
    #expect(found.provenance == expected.provenance)
    #expect(expected.tensors.count > 10 && found.tensors == expected.tensors, "\(program) \(arguments) \(choices)")
    let folder = try TemporaryFolder()
    var texts: [String] = []
    for (name, stream, flags) in [("a", gradients, choices), ("b", sums, [])] {
      let outcome = try Program("grad-aggregate").run(
        flags + ["--save", folder.file(name), "--standard-errors"], input: stream)
      #expect(outcome.status == 0)
      texts.append(outcome.errors.split(separator: "\n").filter { !$0.contains("device: ") }.joined(separator: "\n"))
    }
    #expect(withoutTimes(texts[0]) == withoutTimes(texts[1]))
    let (one, other) = (try files(folder.file("a")), try files(folder.file("b")))
    #expect(!one.isEmpty && one == other)
  }

  /// The statistics, and not how many records were read how fast.
  private func withoutTimes(_ text: String) -> [Substring] {
    text.split(separator: "\n").filter { !$0.contains("records") }
  }

  private static let choices: [[String]] = [
    [], ["--mode", "both"], ["--mode", "both", "--quantity", "gradient,attribution,activation"],
    ["--loss-reduction", "sample", "--weighting", "sample", "--unit", "sample"],
    ["--loss-reduction", "padded", "--weighting", "batch", "--mode", "mean", "--from-position", "2"],
    ["--loss-reduction", "batch", "--quantity", "attribution"],
  ]

  @Test(arguments: choices)
  func activations(_ choices: [String]) throws {
    try compare("act-grad", DemoRun.modelFlag + ["--with-activations"], choices, DemoRun.activations.get())
  }

  /// Several sites, and two segments.
  @Test func sites() throws {
    let sites = ["--site", "mlp_out,resid_post,attn_out"]
    let parts = try [0..<5, 5..<10].map { samples in
      try DemoRun.output(
        "qwen-capture", DemoRun.modelFlag + sites + ["--layers", "1"], DemoRun.tokens(samples, samplesPerBatch: 2))
    }
    try compare(
      "act-grad", DemoRun.modelFlag + sites + ["--layers", "1-3"], ["--mode", "both"], parts[0] + parts[1])
  }

  @Test(arguments: [[], ["--use-error-term"], ["--dense"], ["--stride", "1", "--stride-scope", "batch"]], choices)
  func features(_ flags: [String], _ choices: [String]) throws {
    try compare("sae-grad", DemoRun.modelFlag + Self.autoencoders + flags, choices, DemoRun.activations.get())
  }

  /// Sums of shards merge to those of the whole.
  @Test func shards() throws {
    let shards = try [0..<3, 3..<10].map { samples in
      let captured = try DemoRun.output(
        "qwen-capture", DemoRun.modelFlag + ["--layers", "0"], DemoRun.tokens(samples))
      return try DemoRun.output("act-grad", DemoRun.modelFlag + ["--sums", "--mode", "both"], captured)
    }
    let partials = try [0..<3, 3..<10].map {
      try DemoRun.output("grad-aggregate", ["--mode", "both", "--partial"], DemoRun.gradients($0))
    }
    let found = try averages(DemoRun.output("grad-aggregate", [], shards[0] + shards[1]))
    let expected = try averages(DemoRun.output("grad-aggregate", [], partials[0] + partials[1]))
    #expect(found == expected && expected.count > 10)
  }

  /// --quantity attribution has the activations without being told.
  @Test func activationsAreTakenAlong() throws {
    let choices = ["--quantity", "attribution"]
    let told = try DemoRun.output(
      "act-grad", DemoRun.modelFlag + ["--with-activations", "--sums"] + choices, DemoRun.activations.get())
    let untold = try DemoRun.output("act-grad", DemoRun.modelFlag + ["--sums"] + choices, DemoRun.activations.get())
    #expect(try tensors(told).tensors == tensors(untold).tensors)
  }

  @Test func refusals() throws {
    let activations = try DemoRun.activations.get()
    let alone = try Program("act-grad").run(DemoRun.modelFlag + ["--mode", "both"], input: activations)
    #expect(alone.failed(64, saying: "--mode: requires --sums"), "\(alone.errors)")
    let negative = try Program("act-grad").run(
      DemoRun.modelFlag + ["--sums", "--from-position", "-1"], input: activations)
    #expect(negative.failed(64, saying: "--from-position: expected a number of at least 0"), "\(negative.errors)")
    let embedded = try Program("sae-grad").run(
      DemoRun.modelFlag + Self.autoencoders + ["--sums", "--embed-basis"], input: activations)
    #expect(embedded.failed(64, saying: "--embed-basis: cannot be combined with --sums"), "\(embedded.errors)")
    // Nothing that looks whole is written of sums of nothing.
    let late = try Program("act-grad").run(
      DemoRun.modelFlag + ["--sums", "--from-position", "1000", "--quiet"], input: activations)
    #expect(late.failed(65, saying: "no gradients: expected at least one recorded position"), "\(late.errors)")
    #expect(late.output.isEmpty)
  }
}
