import CUDAOperations
import Decoders
import TensorOperations
import TestSupport
import Testing

/// Models that a device cannot compute.
@Suite(.enabled(if: StandInGPU.folder != nil, "\(StandInGPU.absence)"))
struct DeviceRefusalTests {
  /// Heads of 130 dimensions: before a weight goes to the device.
  @Test func aHeadTooWideIsRefusedWhenTheModelLoads() throws {
    let (heads, width, hidden) = (6, 130, 84)
    let folder = try ModelFolder("f32")
    for layer in 0..<3 {
      let prefix = "model.layers.\(layer).self_attn."
      for (name, rows) in [("q", heads * width), ("k", 2 * width), ("v", 2 * width)] {
        folder.tensors["\(prefix)\(name)_proj.weight"] = zeros([rows, hidden])
        folder.tensors["\(prefix)\(name)_proj.bias"] = zeros([rows])
      }
      folder.tensors["\(prefix)o_proj.weight"] = zeros([hidden, heads * width])
    }
    try folder.setEntry("head_dim", "\(width)")
    try folder.write()
    let checkpoint = try Checkpoint(folder.path)
    let operations = try CUDAOperations(folder: StandInGPU.folder)
    let before = operations.mostUsed
    expectRefusal(
      .unavailable, "cuda:0: expected attention heads of at most 128 dimensions, found 130: use --device cpu"
    ) {
      _ = try DecoderModel(checkpoint, layers: 0..<3, includingHead: true, operations: operations)
    }
    #expect(operations.mostUsed == before)
    _ = try DecoderModel(checkpoint, layers: 0..<3, includingHead: true, operations: try CPUOperations(threads: 1))
  }

  private func zeros(_ shape: [Int]) -> ModelFolder.Stored {
    ModelFolder.Stored(type: .f32, shape: shape, bytes: Array(repeating: 0, count: 4 * shape.reduce(1, *)))
  }
}
