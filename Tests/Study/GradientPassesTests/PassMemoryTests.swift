import CUDAOperations
import Decoders
import Foundation
import GradientPasses
import SparseAutoencoders
import TensorFiles
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// What the model and the autoencoders say that a row of a pass takes, against what a GPU had in use.
@Suite(.enabled(if: StandInGPU.folder != nil, "\(StandInGPU.absence)"))
struct PassMemoryTests {
  private func makeOperations() throws -> CUDAOperations {
    let operations = try CUDAOperations(folder: StandInGPU.folder)
    // 256 logits of a row at a time.
    operations.heldNumbers = 0
    return operations
  }

  /// As little as 4 % more is stated than is used, and never less; of two passes the smaller one leaves nothing behind.
  @Test func aPassTakesWhatTheModelStates() throws {
    let golden = try GoldenFile("f32")
    let operations = try makeOperations()
    let checkpoint = try Checkpoint(golden.model)
    let model = try DecoderModel(checkpoint, layers: 1..<3, includingHead: true, operations: operations)
    let weights = operations.mostUsed
    let samples = [Int32](repeating: 64, count: 32)
    let tokens = TokenBatch(
      inputIDs: (0..<2048).map { 7 + $0 * 5 % 500 }, cuSeqlens: samples.reduce(into: [0]) { $0.append($0.last! + $1) },
      sampleIndex: samples.indices.map { Int64($0) })
    let processor = try DecoderModel(
      checkpoint, layers: 0..<1, includingHead: false, operations: try CPUOperations(threads: 2))
    let activations = try ActivationsStream(TokensStream([tokens]), processor, layers: [0])
    let stated = model.description.bytesPerRow(keptLayers: 2) + 256 * MemoryLayout<Float>.stride
    for rows in [1024, 2048] {
      _ = try GradientsStream(activations, model, start: 0, layers: [0, 1, 2], passRows: rows)
      let used = operations.mostUsed - weights
      #expect((rows * stated * 96 / 100...rows * stated).contains(used), "\(rows): \(used), stated \(rows * stated)")
    }
    // More layers, more rows.
    let description = model.description
    #expect(description.bytesPerRow(keptLayers: 3) > description.bytesPerRow(keptLayers: 2))
    #expect(description.bytesPerRow(keptLayers: 0) == description.bytesPerRow(keptLayers: 1))
  }

  /// With all features active, which is the most that there can be.
  @Test func aBlockTakesWhatTheAutoencodersState() throws {
    let (D, F) = (84, 2000)
    let folder = try TemporaryFolder()
    let zeros = [Float](repeating: 0, count: D * F)
    let tensors: [(name: String, shape: [Int], values: [Float])] = [
      ("b_dec", [D], Array(zeros[..<D])), ("b_enc", [F], Array(repeating: 1, count: F)),
      ("threshold", [F], Array(zeros[..<F])), ("w_dec", [F, D], zeros), ("w_enc", [D, F], zeros),
    ]
    let header = SafetensorsHeader(metadata: [:], layingOut: tensors.map { ($0.name, .f32, $0.shape) })
    let values = tensors.flatMap { $0.values.withUnsafeBytes { Array($0) } }
    try Data(header.encoded() + values).write(to: folder.url("params.safetensors"))

    let operations = try makeOperations()
    let memory = AutoencoderMemory(operations)
    let autoencoder = try AutoencoderOperations(SparseAutoencoder(folder.path), memory: memory)
    let before = operations.mostUsed
    let rows = 256
    memory.use(passRows: 4 * rows)
    var rebuilt = [Float](repeating: .nan, count: 2 * rows * D)
    let features = autoencoder.rebuild(&rebuilt, from: zeros, rows: 2 * rows)
    #expect(features.rowCount == 2 * rows && features.count == 2 * rows * F)
    #expect(features.values.allSatisfy { $0 == 1 } && rebuilt.allSatisfy { $0 == 0 })
    // Those of rows that are under way up and down, which the model states.
    let copies = 4 * rows * D * MemoryLayout<Float>.stride
    let stated = 4 * rows * memory.bytesPerRow + copies
    let used = operations.mostUsed - before
    #expect((stated * 96 / 100...stated + 64 << 10).contains(used), "\(used), stated \(stated)")
  }
}
