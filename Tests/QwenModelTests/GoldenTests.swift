import QwenModel
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// The model's passes against Hugging Face in float64, layer by layer and in the order of computation, so that the
/// first wrong layer is named and not what follows from it.
///
/// The models are f32, bf16 and f16, with tied and untied heads, in one file and in two. What a bf16 model gives in
/// float32 arithmetic and what it gives in float64 differ by rounding alone: some 1e-7 a layer.
@Suite struct GoldenTests {
  /// Activations: one layer's rounding is about 2e-7, and three or four layers follow one another.
  static let forwardTolerance = 3e-6
  /// Gradients go through the layers twice, and through differences of probabilities.
  static let gradientTolerance = 1e-5
  /// The contract's: relative, of each sample's loss.
  static let lossTolerance = 1e-6

  @Test(arguments: GoldenFile.names, GoldenFile.runs)
  func forward(name: String, run: String) throws {
    let golden = try GoldenFile(name)
    let model = try loadModel(golden.model)
    var captured: [String: [Float]] = [:]
    for tokens in try golden.batches(run) {
      let batch = try Batch(tokens, model.configuration)
      try model.forward(batch, through: golden.layerCount - 1) { layer, middle, mlpOutput in
        captured["resid_mid.\(layer)", default: []] += middle.values
        captured["mlp_out.\(layer)", default: []] += mlpOutput.values
      }
    }
    for layer in 0..<golden.layerCount {
      for key in ["resid_mid.\(layer)", "mlp_out.\(layer)"] {
        let found = try golden.pick(run, of: try #require(captured[key]), width: model.configuration.hiddenSize)
        let error = relativeL2(found, try golden.floats("\(run).\(key)"))
        try #require(error < Self.forwardTolerance, "the first bad activation is \(key)")
      }
    }
  }

  @Test(arguments: GoldenFile.names.filter { $0 != "demo" }, GoldenFile.runs)
  func logits(name: String, run: String) throws {
    let golden = try GoldenFile(name)
    let model = try loadModel(golden.model)
    let all = try golden.batches(run).flatMap { try model.logits(Batch($0, model.configuration)) }
    let found = try golden.pick(run, of: all, width: model.configuration.vocabularySize)
    #expect(relativeL2(found, try golden.floats("\(run).logits")) < Self.forwardTolerance)
  }

  @Test(arguments: GoldenFile.names, GoldenFile.runs)
  func gradients(name: String, run: String) throws {
    let golden = try GoldenFile(name)
    let model = try loadModel(golden.model)
    var gradients: [Int: [Float]] = [:]
    var losses: [Double] = []
    for tokens in try golden.batches(run) {
      let batch = try Batch(tokens, model.configuration)
      let residual = try residualStream(model, batch, behind: 0)
      losses += model.gradients(batch, after: 0, residual: residual, downTo: 0) { layer, gradient in
        gradients[layer, default: []] += gradient.values
      }
    }
    let expected = try golden.doubles("\(run).loss")
    for (sample, (loss, exact)) in zip(losses, expected).enumerated() {
      #expect(abs(loss - exact) <= Self.lossTolerance * exact, "sample \(sample): \(loss), expected \(exact)")
    }
    #expect(losses.count == expected.count)
    // The way back: from the last layer down.
    for layer in (0..<golden.layerCount).reversed() {
      let found = try golden.pick(run, of: try #require(gradients[layer]), width: model.configuration.hiddenSize)
      let error = relativeL2(found, try golden.floats("\(run).grad.\(layer)"))
      try #require(error < Self.gradientTolerance, "the first bad gradient is layer \(layer)'s")
    }
  }
}

/// What holds without any golden number.
@Suite struct ModelInvarianceTests {
  /// Going on from a higher layer is the same computation with less of it, to the bit.
  @Test func startLayerDoesNotMatter() throws {
    let golden = try GoldenFile("f32")
    let model = try loadModel(golden.model)
    let batch = try Batch(try golden.batches("plain")[0], model.configuration)
    var byStart: [[Int: [Float]]] = []
    var losses: [[Double]] = []
    for start in 0..<golden.layerCount {
      let residual = try residualStream(model, batch, behind: start)
      var gradients: [Int: [Float]] = [:]
      losses.append(
        model.gradients(batch, after: start, residual: residual, downTo: start) { gradients[$0] = $1.values })
      byStart.append(gradients)
      #expect(gradients.keys.sorted() == Array(start..<golden.layerCount))
      #expect(model.losses(batch, after: start, residual: residual) == losses[start])
      for (layer, gradient) in gradients { #expect(gradient == byStart[0][layer]) }
    }
    #expect(losses.allSatisfy { $0 == losses[0] })
  }

  /// A layer below which nothing is wanted is not gone back through.
  @Test func stopsAtTheLowestLayerWanted() throws {
    let golden = try GoldenFile("f32")
    let model = try loadModel(golden.model)
    let batch = try Batch(try golden.batches("plain")[0], model.configuration)
    var seen: [Int] = []
    _ = model.gradients(
      batch, after: 0, residual: try residualStream(model, batch, behind: 0), downTo: 1
    ) { layer, _ in
      seen.append(layer)
    }
    #expect(seen == [2, 1])
  }

  /// A sample's loss and gradients do not depend on what it is batched with; products of other heights round otherwise.
  @Test func batchingDoesNotMatter() throws {
    let golden = try GoldenFile("f32")
    let model = try loadModel(golden.model)
    let tokens = try golden.batches("plain")[1]
    func run(_ tokens: TokenBatch) throws -> (losses: [Double], gradient: [Float]) {
      let batch = try Batch(tokens, model.configuration)
      var gradient: [Float] = []
      let losses = model.gradients(
        batch, after: 0, residual: try residualStream(model, batch, behind: 0), downTo: 0
      ) { layer, rows in
        if layer == 0 { gradient = rows.values }
      }
      return (losses, gradient)
    }
    let together = try run(tokens)
    let width = model.configuration.hiddenSize
    for sample in 0..<tokens.sampleCount {
      let rows = tokens.rows(of: sample)
      let alone = try run(
        TokenBatch(inputIDs: Array(tokens.inputIDs[rows]), cuSeqlens: [0, Int32(rows.count)], sampleIndex: [0]))
      #expect(abs(alone.losses[0] - together.losses[sample]) <= 1e-6 * alone.losses[0])
      let part = Array(together.gradient[rows.lowerBound * width..<rows.upperBound * width])
      #expect(relativeL2(part, alone.gradient) < 2e-6)
    }
  }

  /// Memory is kept from batch to batch: a small batch behind a large one must not see its rows.
  @Test func anEarlierBatchLeavesNothingBehind() throws {
    let golden = try GoldenFile("bf16-sharded")
    let used = try loadModel(golden.model)
    let batches = try golden.batches("padded") + golden.batches("plain")
    for tokens in batches {
      let fresh = try loadModel(golden.model)
      let batch = try Batch(tokens, used.configuration)
      let residual = try residualStream(fresh, batch, behind: 0)
      #expect(try residualStream(used, batch, behind: 0) == residual)
      var (first, second): ([[Float]], [[Float]]) = ([], [])
      let losses = used.gradients(batch, after: 0, residual: residual, downTo: 0) { first.append($1.values) }
      #expect(fresh.gradients(batch, after: 0, residual: residual, downTo: 0) { second.append($1.values) } == losses)
      #expect(first == second)
    }
  }
}

func loadModel(_ folder: String, threads: Int = 2) throws -> QwenModel {
  let checkpoint = try Checkpoint(folder)
  return try QwenModel(
    checkpoint, layers: 0..<checkpoint.configuration.layerCount, includingHead: true,
    operations: try CPUOperations(threads: threads))
}

/// The residual stream behind a layer, as a forward pass leaves it.
func residualStream(_ model: QwenModel, _ batch: Batch, behind layer: Int) throws -> [Float] {
  var residual: [Float] = []
  try model.forward(batch, through: layer) { index, middle, mlpOutput in
    if index == layer { residual = zip(middle.values, mlpOutput.values).map { $0 + $1 } }
  }
  return residual
}

extension Tensor {
  /// The numbers of a tensor in the processor's memory.
  var values: [Float] { Array(UnsafeBufferPointer(start: address, count: count)) }
}
