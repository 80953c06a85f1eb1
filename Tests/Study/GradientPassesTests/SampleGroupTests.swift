import Decoders
import GradientPasses
import SystemIO
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// Records joined to groups, groups cut into passes: neither changes what a record says.
@Suite struct SampleGroupTests {
  private static func batch(_ lengths: [Int], first: Int64, valid: [Int32]? = nil) -> TokenBatch {
    var batch = TokenBatch(inputIDs: [], cuSeqlens: [0], sampleIndex: [], document: [], validLengths: valid)
    for (sample, length) in lengths.enumerated() {
      batch.inputIDs += (0..<length).map { Int32(7 + ($0 * 5 + sample) % 90) }
      batch.cuSeqlens.append(Int32(batch.inputIDs.count))
      batch.sampleIndex.append(first + Int64(sample))
      batch.document.append((first + Int64(sample)) / 2)
    }
    return batch
  }

  private static let batches = [
    batch([5, 1, 3], first: 0), batch([2], first: 3), batch([4, 4, 9, 1], first: 4, valid: [3, 4, 6, 1]),
    batch([30], first: 8), batch([2, 2], first: 9),
  ]

  private func groups(_ passRows: Int) throws -> [SampleGroup] {
    let stream = try TokensStream(Self.batches)
    let description = try Checkpoint(GoldenFile("f32").model).description
    var groups: [SampleGroup] = []
    try stream.forEachGroup(description, [], passRows: passRows) { groups.append($0) }
    return groups
  }

  @Test(arguments: [1, 2, 9, 11, 30, 31, 1024]) func everyRecordComesOnceAndInOrder(_ passRows: Int) throws {
    let groups = try groups(passRows)
    #expect(groups.flatMap(\.records).map(\.tokens) == Self.batches)
    #expect(groups.flatMap(\.records).map(\.batch) == Array(0..<Self.batches.count))
    for group in groups {
      #expect(group.records.count == 1 || group.tokens.tokenCount <= passRows)
      #expect(group.records.last?.samples.upperBound == group.tokens.sampleCount)
      for record in group.records {
        for (inRecord, inGroup) in record.samples.enumerated() {
          #expect(
            Array(group.tokens.inputIDs[group.tokens.rows(of: inGroup)])
              == Array(record.tokens.inputIDs[record.tokens.rows(of: inRecord)]))
          #expect(group.tokens.validRows(of: inGroup).count == record.tokens.validRows(of: inRecord).count)
        }
      }
    }
  }

  @Test func recordsAreJoinedWhileTheyFit() throws {
    #expect(try groups(11).map { $0.records.map(\.batch) } == [[0, 1], [2], [3], [4]])
    #expect(try groups(1024).map { $0.records.map(\.batch) } == [[0, 1, 2, 3, 4]])
  }

  /// The same model over the same records, alone and together, whole and sample by sample.
  @Test func gradientsDoNotDependOnTheGroups() throws {
    let golden = try GoldenFile("f32")
    let model = try DecoderModel(
      Checkpoint(golden.model), layers: 0..<golden.layerCount, includingHead: true,
      operations: try CPUOperations(threads: 2))
    func gradients(_ passRows: Int) throws -> [[String: [UInt8]]] {
      let activations = try ActivationsStream(TokensStream(Self.batches), model, layers: [0], passRows: passRows)
      return try GradientsStream(
        activations, model, start: 0, layers: Array(0..<golden.layerCount), passRows: passRows
      ).tensors()
    }
    let together = try gradients(1024)
    for passRows in [1, 11] {
      let apart = try gradients(passRows)
      #expect(apart.map { $0.keys.sorted() } == together.map { $0.keys.sorted() })
      for (one, other) in zip(apart, together) {
        for (name, bytes) in one {
          if name.hasPrefix("grad.") {
            // Products of few rows may take another of OpenBLAS's kernels.
            #expect(relativeL2(floats(bytes), floats(other[name]!).map(Double.init)) < 2e-6, "\(name)")
          } else if name != "loss" {
            #expect(bytes == other[name], "\(name)")
          }
        }
      }
    }
  }

  /// What comes before a sample is never attended to, so it changes no gradient; its own predictions are in the loss.
  @Test func paddingBeforeSamplesChangesNoGradient() throws {
    let golden = try GoldenFile("f32")
    let model = try DecoderModel(
      Checkpoint(golden.model), layers: 0..<golden.layerCount, includingHead: true,
      operations: try CPUOperations(threads: 2))
    func gradients(_ batches: [TokenBatch]) throws -> [[String: [UInt8]]] {
      let activations = try ActivationsStream(TokensStream(batches), model, layers: [0])
      return try GradientsStream(activations, model, start: 0, layers: Array(0..<golden.layerCount)).tensors()
    }
    let plain = Self.batch([5, 1, 9], first: 0)
    let lengths = plain.predictions.map { $0 + 1 }
    let padded = TokenBatch(
      inputIDs: (0..<3).flatMap { sample in
        let ids = plain.inputIDs[plain.rows(of: sample)]
        return Array(repeating: 3, count: 9 - ids.count) + ids
      }, cuSeqlens: [0, 9, 18, 27], sampleIndex: plain.sampleIndex, document: plain.document, validLengths: lengths,
      validStarts: lengths.map { 9 - $0 })
    let (expected, found) = (try gradients([plain])[0], try gradients([padded])[0])
    #expect(found.keys.sorted() == expected.keys.sorted())
    for name in ["cu_positions", "position", "token", "sample_index", "document"] {
      #expect(found[name] == expected[name])
    }
    for layer in 0..<golden.layerCount {
      let name = "grad.mlp_out.\(layer)"
      #expect(relativeL2(floats(found[name]!), floats(expected[name]!).map(Double.init)) < 2e-6, "\(name)")
    }
    let losses = [found, expected].map { $0["loss"]!.withUnsafeBytes { Array($0.bindMemory(to: Double.self)) } }
    #expect(losses[0][0] > losses[1][0] && losses[0][1] > losses[1][1] && losses[0][2] == losses[1][2])
  }

  private func floats(_ bytes: [UInt8]) -> [Float] {
    bytes.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
  }
}
