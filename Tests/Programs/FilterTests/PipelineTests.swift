import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// The same numbers, however the work is cut.
@Suite struct PipelineTests {
  private static let both = ["--mode", "both"]

  private func aggregates(_ gradients: Data, _ arguments: [String] = both) throws -> [String: [Double]] {
    try averages(DemoRun.output("grad-aggregate", arguments, gradients))
  }

  private func compare(_ found: [String: [Double]], _ expected: [String: [Double]], within tolerance: Double) {
    #expect(Set(found.keys) == Set(expected.keys))
    #expect(!expected.isEmpty)
    for (name, values) in expected {
      // No number of units would do where the halves do not agree.
      let (found, values) = ((found[name] ?? values.map { _ in .nan }).map(finite), values.map(finite))
      #expect(relativeL2(found, values) <= tolerance, "\(name)")
    }
  }

  private func finite(_ value: Double) -> Double { value == .infinity ? 1e9 : value }

  @Test(arguments: ["sample", "position"])
  func batchesDoNotMatter(_ weighting: String) throws {
    let choices = Self.both + ["--loss-reduction", "sample", "--weighting", weighting]
    let results = try [1, 4, 8, 10].map { size in
      try aggregates(DemoRun.gradients(0..<DemoRun.samples.count, samplesPerBatch: size), choices)
    }
    #expect(Set(results[0].keys).isSuperset(of: (0..<4).flatMap { ["mean.mlp_out.\($0)", "mean_abs.mlp_out.\($0)"] }))
    for result in results.dropFirst() { compare(result, results[0], within: 1e-6) }
  }

  /// But the loss of a batch is that of its samples.
  @Test func batchesMatterToTheirLoss() throws {
    let results = try [1, 8].map { size in
      try aggregates(
        DemoRun.gradients(0..<DemoRun.samples.count, samplesPerBatch: size), Self.both + ["--loss-reduction", "batch"])
    }
    #expect(relativeL2(results[0]["mean_abs.mlp_out.0"]!, results[1]["mean_abs.mlp_out.0"]!) > 0.1)
  }

  @Test(.enabled(if: roundsAllRowsAlike, "OpenBLAS rounds a row by its place on this processor"))
  func concatenatedHalvesEqualOneRun() throws {
    let whole = try aggregates(DemoRun.gradients(0..<8, samplesPerBatch: 2))
    let halves = try [DemoRun.gradients(0..<4, samplesPerBatch: 2), DemoRun.gradients(4..<8, samplesPerBatch: 2)]
    compare(try aggregates(halves[0] + halves[1]), whole, within: 1e-12)
    // In the other order, too, and as files.
    compare(try aggregates(halves[1] + halves[0]), whole, within: 1e-12)
    let folder = try TemporaryFolder()
    for (index, half) in halves.enumerated() { try half.write(to: folder.url("\(index).ts")) }
    compare(try aggregates(Data(), Self.both + [folder.file("0.ts"), folder.file("1.ts")]), whole, within: 1e-12)
  }

  @Test(arguments: ["sum", "padded", "sample", "batch"], ["position", "sample", "batch"])
  func mergedPartialsEqualOneRun(_ reduction: String, _ weighting: String) throws {
    let choices = Self.both + ["--loss-reduction", reduction, "--weighting", weighting]
    let gradients = try [0..<3, 3..<4, 4..<8].map { try DemoRun.gradients($0, samplesPerBatch: 2) }
    let whole = try aggregates(gradients.reduce(Data(), +), choices)
    let partials = try gradients.map { try DemoRun.output("grad-aggregate", choices + ["--partial"], $0) }
    // The flags that made the sums need not be said again, and must not be contradicted.
    compare(try aggregates(partials.reduce(Data(), +), []), whole, within: 1e-12)
    let other = try Program("grad-aggregate").run(["--mode", "mean"], input: partials[0])
    #expect(other.failed(65, saying: "--mode: the aggregates were made with another value"), "\(other.errors)")
    // A merge of merges.
    let first = try DemoRun.output("grad-aggregate", ["--partial"], partials[0] + partials[1])
    compare(try aggregates(first + partials[2], []), whole, within: 1e-12)
  }

  @Test func provenanceIsCarriedThrough() throws {
    let upstream = ["text": "a text", "a key nobody knows": "kept \u{e9}\n", "history.0": "wt-tokenize x"]
    let tokens = Data(try tokenStream([DemoRun.samples], provenance: upstream))
    let activations = try DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--layers", "1,2"], tokens)
    let gradients = try DemoRun.output("act-grad", DemoRun.modelFlag + ["--layers", "2-3"], activations)
    let aggregates = try DemoRun.output("grad-aggregate", [], gradients)
    let reader = StreamReader(try ReusedFile().opened(with: Array(aggregates)))
    let provenance = try #require(try reader.nextSegment(.aggregates)).provenance
    for (key, value) in upstream { #expect(provenance[key] == value) }
    #expect(provenance["history.1"] == "qwen-capture --model \(DemoRun.model) --layers 1,2 --quiet")
    #expect(provenance["history.2"] == "act-grad --model \(DemoRun.model) --layers 2-3 --quiet")
    #expect(provenance["history.3"] == "grad-aggregate --quiet")
    #expect(provenance["places"] == "mlp_out.2-3")
    #expect(provenance["unit"] == "activation")
    #expect(provenance["model"] == DemoRun.model)
    #expect(provenance["mode"] == "mean_abs")
    #expect(provenance["loss_reduction"] == "sum")
    #expect(provenance["weighting"] == "position")
  }

  /// One-token samples predict nothing: their positions count, with gradients of zero.
  @Test func samplesOfOneToken() throws {
    let tokens = Data(try tokenStream([[[5]], [[6], [1, 2, 3]]]))
    let activations = try DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--layers", "0"], tokens)
    let result = try aggregates(DemoRun.output("act-grad", DemoRun.modelFlag, activations))
    let alone = try DemoRun.output(
      "qwen-capture", DemoRun.modelFlag + ["--layers", "0"], Data(tokenStream([[[1, 2, 3]]])))
    let expected = try aggregates(DemoRun.output("act-grad", DemoRun.modelFlag, alone))
    compare(
      ["m": result["mean_abs.mlp_out.0"]!.map { 5 * $0 }], ["m": expected["mean_abs.mlp_out.0"]!.map { 3 * $0 }],
      within: 1e-6)
    #expect(result["weight.mlp_out.0"] == [5])
    #expect(result["loss.mlp_out.0"]!.allSatisfy { $0.isFinite })
  }
}
