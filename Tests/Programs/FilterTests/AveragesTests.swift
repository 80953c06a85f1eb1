import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// grad-aggregate's quantities and standard errors from outside. The numbers are compared with numpy in
/// Tests/Parity/compare_averages.py.
@Suite struct AveragesTests {
  private let folder = try! TemporaryFolder()
  private static let everything = ["--quantity", "gradient,attribution,activation", "--mode", "both"]

  private static let features = Result {
    try DemoRun.output("sae-grad", SAEGradTests.flags, SAEGradTests.activations.get())
  }

  private func files(_ flags: [String]) throws -> Set<String> {
    _ = try DemoRun.output(
      "grad-aggregate", Self.everything + ["--save", folder.file("out")] + flags, Self.features.get())
    return Set(try FileManager.default.contentsOfDirectory(atPath: folder.file("out")))
  }

  @Test func arraysOfEveryQuantity() throws {
    let quantities = ["gradients", "attributions", "activations"]
    let ofLayer = quantities.flatMap { ["mean_\($0)", "mean_abs_\($0)"] } + ["firing"]
    let names = Set((0..<4).flatMap { layer in ofLayer.map { "layer_\(layer)_\($0)" } })
    #expect(try files([]) == Set(names.map { "\($0).npy" }))
    #expect(try files(["--standard-errors"]) == Set(names.flatMap { ["\($0).npy", "\($0)_se.npy"] }))
  }

  @Test func firingIsHowOftenAFeatureIsActive() throws {
    var counts = [Double](repeating: 0, count: 1024)
    var positions = 0.0
    let reader = StreamReader(try ReusedFile().opened(with: Array(Self.features.get())))
    while try reader.nextSegment() != nil {
      while let record = try reader.nextRecord() {
        positions += Double(try GradientBatch(record).positionCount)
        for feature in try record.tensor("feature.mlp_out.2", shape: [nil], of: Int32.self) {
          counts[Int(feature)] += 1
        }
      }
    }
    let found = try averages(
      DemoRun.output("grad-aggregate", ["--quantity", "activation"], Self.features.get()))
    #expect(relativeL2(try #require(found["firing.mlp_out.2"]), counts.map { $0 / positions }) < 1e-7)
    #expect(found["mean_abs.mlp_out.2"] == nil && found["activation_mean_abs.mlp_out.2"] != nil)
  }

  /// Shards that cut documents, merged in any order, have the standard errors of one run.
  @Test func shardsThatCutDocuments() throws {
    // Three samples are a document.
    let ranges = [0..<1, 1..<5, 5..<7, 7..<10]
    let parts = try ranges.enumerated().map { number, range in
      let gradients = try DemoRun.output(
        "sae-grad", SAEGradTests.flags, DemoRun.output("qwen-capture", DemoRun.modelFlag, DemoRun.tokens(range)))
      let path = folder.file("\(number).ts")
      try DemoRun.output("grad-aggregate", Self.everything + ["--partial"], gradients).write(
        to: folder.url("\(number).ts"))
      return path
    }
    let expected = try averages(DemoRun.output("grad-aggregate", Self.everything, Self.features.get()))
    for order in [[0, 1, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0]] {
      let found = try averages(DemoRun.output("grad-aggregate", order.map { parts[$0] }, Data()))
      #expect(found.keys.sorted() == expected.keys.sorted())
      for name in expected.keys where name.contains("_se.") || name.contains("_halves.") {
        #expect(relativeL2(found[name]!, expected[name]!) < 1e-5, "\(name)")
      }
    }
    #expect(expected.keys.count { $0.contains("_se.") } == 4 * 7)
  }

  @Test func whatIsSaid() throws {
    let gradients = try DemoRun.gradients.get()
    func said(_ flags: [String], _ input: Data) throws -> String {
      let outcome = try Program("grad-aggregate").run(flags, input: input)
      #expect(outcome.status == 0, "\(outcome.errors)")
      return outcome.errors
    }
    let usual = try said([], gradients)
    #expect(
      usual.contains("\n  Largest abs gradient = ") && usual.contains(" ± ")
        && usual.contains("between two halves of the 4 documents"))
    #expect(usual.contains("standard errors of 4 documents: fewer than 20"))
    #expect(try said(["--unit", "sample"], gradients).contains("standard errors of 10 samples: fewer than 20"))
    #expect(try said(["--from-position", "3"], gradients).contains("positions before 3 are left out"))
    let one = try said(["--unit", "document"], DemoRun.gradients(0..<3))
    #expect(one.contains("no standard errors: expected at least 2 documents, found 1; --unit sample"))
    #expect(!one.contains("±"))
    #expect(
      try averages(DemoRun.output("grad-aggregate", [], DemoRun.gradients(0..<3)))["mean_abs_se.mlp_out.0"] == nil)
  }

  @Test func positionsThatAreLeftOut() throws {
    let gradients = try DemoRun.gradients.get()
    let outcome = try Program("grad-aggregate").run(["-q", "--from-position", "3"], input: gradients)
    #expect(
      try averages(outcome.output)["weight.mlp_out.1"] == [
        Double(DemoRun.samples.reduce(0) { $0 + max($1.count - 3, 0) })
      ])
    let reader = StreamReader(try ReusedFile().opened(with: Array(outcome.output)))
    #expect(try reader.nextSegment()?.provenance["from_position"] == "3")
    let none = try Program("grad-aggregate").run(["-q", "--from-position", "100"], input: gradients)
    #expect(none.failed(65, saying: "mlp_out.0: no gradients: expected at least one recorded position, found none"))
  }

  @Test func shuffledSamplesAreIndependentThemselves() throws {
    let tokens = try DemoRun.output(
      "wt-tokenize",
      [
        "--tokenizer", DemoRun.model, "--shuffle", "--num-samples", "6", "--max-length", "12",
        packageRoot + "/demo/sample.txt",
      ],
      Data())
    let gradients = try DemoRun.output(
      "act-grad", DemoRun.modelFlag, DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--layers", "2"], tokens))
    let outcome = try Program("grad-aggregate").run([], input: gradients)
    #expect(outcome.errors.contains("standard errors of 6 samples"), "\(outcome.errors)")
    let reader = StreamReader(try ReusedFile().opened(with: Array(outcome.output)))
    #expect(try reader.nextSegment()?.provenance["standard_errors"] == "sample")
    let refused = try Program("grad-aggregate").run(["--unit", "document"], input: gradients)
    #expect(refused.failed(65, saying: "--unit document: the samples were shuffled"), "\(refused.errors)")
  }

  @Test(arguments: [
    (["--quantity", "gradients"], "--quantity"), (["--quantity", "gradient,"], "--quantity"),
    (["--from-position", "-1"], "--from-position: expected a number of at least 0, found -1"),
    (["--standard-errors"], "--standard-errors: requires --save"), (["--unit", "line"], "--unit"),
  ]) func mistakes(_ flags: [String], _ message: String) throws {
    let outcome = try Program("grad-aggregate").run(flags, input: try DemoRun.gradients.get())
    #expect(outcome.failed(64, saying: message), "\(outcome.errors)")
  }

  /// Sums are merged by the flags that they were made with.
  @Test func otherChoicesThanOfTheSums() throws {
    let sums = try DemoRun.output(
      "grad-aggregate", ["--partial", "--unit", "sample", "--from-position", "2"], try DemoRun.gradients.get())
    #expect(try Program("grad-aggregate").run(["-q"], input: sums).status == 0)
    for flags in [["--unit", "document"], ["--from-position", "1"], ["--quantity", "activation"]] {
      let outcome = try Program("grad-aggregate").run(flags, input: sums)
      #expect(
        outcome.failed(65, saying: "\(flags[0]): the aggregates were made with another value: rerun without the flag"))
    }
    let missing = try Program("grad-aggregate").run(["--quantity", "attribution"], input: try DemoRun.gradients.get())
    #expect(
      missing.failed(65, saying: "--quantity attribution: expected the activations at mlp_out."), "\(missing.errors)")
  }
}
