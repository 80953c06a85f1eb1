import Aggregation
import Decoders
import GradientPasses
import SystemIO
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// Capture, gradients and averages over streams in files, as the programs do it, against the reference in float64.
@Suite struct ActivationGradientTests {
  /// The contract's, on models whose gradients do not all but cancel.
  static let tolerance = 1e-5

  @Test(arguments: GoldenFile.names, GoldenFile.runs)
  func averagesAgreeWithReference(name: String, run: String) throws {
    let golden = try GoldenFile(name)
    let gradients = try GradientsStream(golden, run)
    for lossReduction in LossReduction.allCases {
      for weighting in Weighting.allCases {
        let sums = GradientSums(
          AggregationChoices(
            modes: [.mean, .meanAbsolute], lossReduction: lossReduction, weighting: weighting, paddedPredictions: 508))
        try gradients.forEachRecord { try sums.add(gradients: $0) }
        for layer in 0..<golden.layerCount {
          let found = try #require(sums.places[Place(.mlpOut, layer)])
          // The padded loss is the summed one at another scale.
          let (stored, scale) = lossReduction == .padded ? (LossReduction.sum, 508.0) : (lossReduction, 1)
          let choice = "\(layer).\(stored.rawValue).\(weighting.rawValue)"
          let scaled = { (mode: AveragingMode) in found.average(mode).map { $0 * scale } }
          let mean = relativeL2(scaled(.mean), try golden.doubles("\(run).mean.\(choice)"))
          let meanAbs = relativeL2(scaled(.meanAbsolute), try golden.doubles("\(run).mean_abs.\(choice)"))
          #expect(mean < Self.tolerance, "mean.\(choice)")
          #expect(meanAbs < Self.tolerance, "mean_abs.\(choice)")
        }
      }
    }
  }

  @Test(arguments: GoldenFile.names, GoldenFile.runs)
  func recordsAgreeWithReference(name: String, run: String) throws {
    let golden = try GoldenFile(name)
    let batches = try golden.batches(run)
    var losses: [Double] = []
    var predictions: [Int32] = []
    var number = 0
    // Gradients of real positions only; the file's rows are counted over all, padding included.
    var rows: [Int: [Float]] = [:]
    let width = try Checkpoint(golden.model).description.width
    try GradientsStream(golden, run).forEachRecord { record in
      let tokens = batches[number]
      #expect(try record.batch == number)
      let description = try GradientBatch(record)
      losses += try #require(description.loss)
      predictions += description.predictions
      #expect(description.sampleIndex == tokens.sampleIndex)
      for sample in 0..<tokens.sampleCount {
        let valid = tokens.validRows(of: sample).count
        #expect(Array(description.position[description.rows(of: sample)]) == (0..<Int32(valid)).map { $0 })
        #expect(
          description.token[description.rows(of: sample)] == tokens.inputIDs[tokens.rows(of: sample).prefix(valid)])
        let padding = [Float](repeating: .nan, count: (tokens.rows(of: sample).count - valid) * width)
        for layer in 0..<golden.layerCount {
          let all = try record.tensor(
            "grad.mlp_out.\(layer)", shape: [description.positionCount, width], of: Float.self)
          let range = description.rows(of: sample)
          rows[layer, default: []] += all[range.lowerBound * width..<range.upperBound * width] + padding
        }
      }
      number += 1
    }
    #expect(number == batches.count)
    #expect(predictions == (try golden.integers("\(run).predictions")))
    for (loss, exact) in zip(losses, try golden.doubles("\(run).loss")) { #expect(abs(loss - exact) <= 1e-6 * exact) }
    for layer in (0..<golden.layerCount).reversed() {
      let found = try golden.pick(run, of: try #require(rows[layer]), width: width)
      let error = relativeL2(found, try golden.floats("\(run).grad.\(layer)"))
      try #require(error < Self.tolerance, "the first bad gradient is layer \(layer)'s")
    }
  }

  /// Only the lowest layer needs capturing, and only some layers may be wanted: the same numbers to the bit.
  @Test func aSubsetOfLayers() throws {
    let golden = try GoldenFile("f32")
    let all = try GradientsStream(golden, "plain").tensors()
    for (captured, start, layers) in [([0], 0, [1, 2]), ([0, 1, 2], 1, [1]), ([1], 1, [2]), ([2], 2, [2])] {
      let some = try GradientsStream(golden, "plain", captured: captured, start: start, layers: layers).tensors()
      #expect(
        some.map { $0.keys.filter { $0.hasPrefix("grad.") }.sorted() }
          == Array(repeating: layers.map { "grad.mlp_out.\($0)" }, count: 2))
      for (batch, tensors) in some.enumerated() {
        for (name, values) in tensors { #expect(values == all[batch][name], "\(name) from \(captured)") }
      }
    }
  }

  /// A model of two layers cannot take what was captured from one of another width.
  @Test func refusesActivationsOfAnotherShape() throws {
    let golden = try GoldenFile("f32")
    let stream = try ActivationsStream(golden, "plain", layers: [0])
    let other = try Checkpoint("\(GoldenFile.folder)/bf16-sharded")
    let model = try DecoderModel(other, layers: 1..<2, includingHead: true, operations: try CPUOperations(threads: 1))
    let pass = try ActivationGradients(model: model, start: Place(.mlpOut, 0), places: PlaceList([Place(.mlpOut, 0)]))
    let failure = #expect(throws: Failure.self) {
      try stream.forEachGroup(model.description, pass.neededPlaces) { _ = pass.records($0) }
    }
    #expect(failure?.kind == .malformed)
    #expect(failure?.description.contains("record 1") == true)
  }

  @Test func refusesALayerThatWasNotCaptured() throws {
    let golden = try GoldenFile("f32")
    let stream = try ActivationsStream(golden, "plain", layers: [0])
    let model = try DecoderModel(
      Checkpoint(golden.model), layers: 2..<3, includingHead: true, operations: try CPUOperations(threads: 1))
    let pass = try ActivationGradients(model: model, start: Place(.mlpOut, 1), places: PlaceList([Place(.mlpOut, 1)]))
    let failure = #expect(throws: Failure.self) {
      try stream.forEachGroup(model.description, pass.neededPlaces) { _ = pass.records($0) }
    }
    #expect(failure?.description.contains("rest.mlp_out.1 is missing") == true)
  }
}
