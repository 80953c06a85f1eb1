import CUDAOperations
import Decoders
import TensorOperations
import TestSupport
import Testing

/// Models that a device cannot compute.
@Suite(.enabled(if: StandInGPU.folder != nil, "\(StandInGPU.absence)"))
struct DeviceRefusalTests {
  /// More heads than a launch can have blocks: before a weight goes to the device.
  @Test func tooManyHeadsAreRefusedWhenTheModelLoads() throws {
    let (heads, width, hidden) = (65_536, 2, 84)
    let folder = try ModelFolder("f32")
    folder.tensors = folder.tensors.filter { name, _ in !name.contains("layers.1.") && !name.contains("layers.2.") }
    let prefix = "model.layers.0.self_attn."
    for (name, rows) in [("q", heads * width), ("k", 2 * width), ("v", 2 * width)] {
      folder.tensors["\(prefix)\(name)_proj.weight"] = zeros([rows, hidden])
      folder.tensors["\(prefix)\(name)_proj.bias"] = zeros([rows])
    }
    folder.tensors["\(prefix)o_proj.weight"] = zeros([hidden, heads * width])
    for (entry, value) in [("head_dim", width), ("num_attention_heads", heads), ("num_hidden_layers", 1)] {
      try folder.setEntry(entry, "\(value)")
    }
    try folder.setEntry("layer_types", #"["full_attention"]"#)
    try folder.write()
    let checkpoint = try Checkpoint(folder.path)
    let operations = try CUDAOperations(folder: StandInGPU.folder)
    let before = operations.mostUsed
    expectRefusal(
      .unavailable,
      "cuda:0: expected at most 65535 attention heads of 2 dimensions, found 65536: use --device cpu"
    ) {
      _ = try DecoderModel(checkpoint, layers: 0..<1, includingHead: true, operations: operations)
    }
    #expect(operations.mostUsed == before)
    _ = try DecoderModel(checkpoint, layers: 0..<1, includingHead: true, operations: try CPUOperations(threads: 1))
  }

  private func zeros(_ shape: [Int]) -> ModelFolder.Stored {
    ModelFolder.Stored(type: .f16, shape: shape, bytes: Array(repeating: 0, count: 2 * shape.reduce(1, *)))
  }
}
