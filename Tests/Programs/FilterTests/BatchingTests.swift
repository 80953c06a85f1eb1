import Foundation
import TestSupport
import Testing

/// By default the averages depend on the samples alone: not on batches, shards or their order.
@Suite struct BatchingTests {
  static let count = 20
  private static let tolerance = 1e-6

  enum Kind: String, CaseIterable, CustomTestStringConvertible {
    case activations
    case factoredFeatures = "factored features"
    case denseFeatures = "dense features"

    var testDescription: String { rawValue }

    /// The gradients of some of the demo text's samples, of layers 1 and 3.
    func gradients(_ samples: Range<Int> = 0..<count, batchSize: Int, maxLength: Int = 40) throws -> Data {
      let tokens = try DemoRun.output(
        "wt-tokenize",
        [
          "--tokenizer", DemoRun.model, "--skip", "\(samples.lowerBound)", "--num-samples", "\(samples.count)",
          "--batch-size", "\(batchSize)", "--max-length", "\(maxLength)", "\(packageRoot)/demo/sample.txt",
        ], Data())
      let layers = ["--layers", "1,3"]
      let activations = try DemoRun.output("qwen-capture", DemoRun.modelFlag + layers, tokens)
      guard self != .activations else { return try DemoRun.output("act-grad", DemoRun.modelFlag + layers, activations) }
      let flags = ["--sae", "\(packageRoot)/demo/saes/mlp_out_layer_{layer}/trainer_0"]
      return try DemoRun.output(
        "sae-grad", DemoRun.modelFlag + flags + (self == .denseFeatures ? ["--dense"] : []), activations)
    }
  }

  private func aggregate(_ arguments: [String], _ gradients: Data = Data()) throws -> [String: [Double]] {
    try averages(DemoRun.output("grad-aggregate", arguments, gradients))
  }

  private func expectSame(_ found: [String: [Double]], _ expected: [String: [Double]], _ comment: Comment) {
    for name in ["mean.mlp_out.1", "mean.mlp_out.3", "mean_abs.mlp_out.1", "mean_abs.mlp_out.3"] {
      let error = relativeL2(found[name] ?? [], expected[name]!)
      #expect(error <= Self.tolerance, "\(comment): \(name): \(error)")
    }
    #expect(found["weight.mlp_out.1"] == expected["weight.mlp_out.1"])
  }

  @Test(arguments: Kind.allCases) func batchSizes(_ kind: Kind) throws {
    let expected = try aggregate(["--mode", "both"], kind.gradients(batchSize: 4))
    #expect(expected["mean.mlp_out.1"]!.contains { $0 != 0 })
    for size in [1, 3, 7] {
      expectSame(try aggregate(["--mode", "both"], kind.gradients(batchSize: size)), expected, "batches of \(size)")
    }
  }

  /// Each shard in batches of another size, joined as gradients and as sums.
  @Test(arguments: Kind.allCases) func shards(_ kind: Kind) throws {
    let folder = try TemporaryFolder()
    let expected = try aggregate(["--mode", "both"], kind.gradients(batchSize: 4))
    let shards = try [(0..<6, 4), (6..<7, 1), (7..<Self.count, 7)].map { try kind.gradients($0, batchSize: $1) }
    let sums = try shards.map { try DemoRun.output("grad-aggregate", ["--mode", "both", "--partial"], $0) }
    for (name, parts) in [("gradients", shards), ("sums", sums)] {
      for (index, part) in parts.enumerated() { try part.write(to: folder.url("\(name)-\(index).ts")) }
      for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
        let files = order.map { folder.file("\(name)-\($0).ts") }
        let flags = name == "sums" ? [] : ["--mode", "both"]
        expectSame(try aggregate(flags + files), expected, "\(name) in the order \(order)")
      }
    }
    // Sums of sums, and gradients added to them.
    let first = try DemoRun.output("grad-aggregate", ["--partial"], sums[2] + sums[0])
    expectSame(try aggregate([], sums[1] + first), expected, "sums of sums")
    try first.write(to: folder.url("first"))
    expectSame(
      try aggregate(["--mode", "both", folder.file("gradients-1.ts"), folder.file("first")]), expected, "both")
  }

  // MARK: - The scripts' scale

  /// One constant, also for the last batch, which has 2 samples, and for a shard of its own.
  @Test(arguments: [Kind.activations, .factoredFeatures]) func padded(_ kind: Kind) throws {
    let sums = try aggregate(["--mode", "both"], kind.gradients(0..<18, batchSize: 4))
    let choices = ["--mode", "both", "--loss-reduction", "padded"]
    let shards = try [0..<8, 8..<9, 9..<18].map { try kind.gradients($0, batchSize: 4) }
    let partials = try shards.map { try DemoRun.output("grad-aggregate", choices + ["--partial"], $0) }
    for padded in [
      try aggregate(choices, kind.gradients(0..<18, batchSize: 4)), try aggregate(choices, shards.reduce(Data(), +)),
      try aggregate([], partials.reversed().reduce(Data(), +)),
    ] {
      let scaled = padded.mapValues { $0.map { $0 * 4 * 39 } }
      expectSame(scaled.merging(["weight.mlp_out.1": padded["weight.mlp_out.1"]!]) { $1 }, sums, "padded")
    }
  }

  @Test func whatPaddedNeeds() throws {
    let gradients = { (batchSize: Int, samples: Range<Int>, maxLength: Int) in
      try Kind.activations.gradients(samples, batchSize: batchSize, maxLength: maxLength)
    }
    let run = { (arguments: [String], input: Data) in
      try Program("grad-aggregate").run(["-q"] + arguments, input: input)
    }
    let padded = ["--loss-reduction", "padded"]
    let four = try gradients(4, 0..<4, 40)
    for (other, message) in [
      (try gradients(3, 4..<6, 40), "batch_size: expected 4 as before, found 3"),
      (try gradients(4, 4..<6, 39), "max_length: expected 40 as before, found 39"),
    ] {
      let refused = try run(padded, four + other)
      #expect(refused.failed(65, saying: "the inputs do not belong together: \(message)"), "\(refused.errors)")
      let sums = try [four, other].map { try DemoRun.output("grad-aggregate", padded + ["--partial"], $0) }
      #expect(try run([], sums[0] + sums[1]).failed(65, saying: message))
    }
    let one = try run(padded, gradients(4, 0..<4, 1))
    let words = "-: --loss-reduction padded: expected max_length in the begin record, a number of at least 2, found 1"
    #expect(one.failed(65, saying: words), "\(one.errors)")
    let unknown = try DemoRun.output(
      "act-grad", DemoRun.modelFlag,
      DemoRun.output(
        "qwen-capture", DemoRun.modelFlag, Data(tokenStream([[[1, 2, 3]]], provenance: ["max_length": "9"]))))
    let refused = try run(padded, unknown)
    #expect(
      refused.failed(
        65, saying: "--loss-reduction padded: expected batch_size in the begin record, a number of at least 1"),
      "\(refused.errors)")
  }
}
