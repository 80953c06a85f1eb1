import Decoders
import Foundation
import SystemIO
import TensorFiles
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// A model's folder with something wrong in it: what is wrong is named, before anything is computed.
@Suite struct CheckpointTests {
  @Test(arguments: [
    "model.layers.0.input_layernorm.weight", "model.layers.1.self_attn.q_proj.bias",
    "model.layers.1.mlp.up_proj.weight",
    "model.norm.weight", "lm_head.weight", "model.embed_tokens.weight",
  ])
  func refusesAMissingTensor(name: String) throws {
    let folder = try ModelFolder("f16")
    folder.tensors[name] = nil
    try folder.write()
    expectRefusal(.malformed, name, "missing") { _ = try folder.load() }
  }

  @Test(arguments: [
    ("model.layers.0.self_attn.k_proj.weight", [40, 54], "[54, 40]", "[40, 54]"),
    ("model.layers.1.self_attn.q_proj.bias", [1, 54], "[54]", "[1, 54]"),
    ("lm_head.weight", [40, 61], "[61, 40]", "[40, 61]"),
  ])
  func refusesAnotherShape(name: String, shape: [Int], expected: String, found: String) throws {
    let folder = try ModelFolder("f16")
    folder.tensors[name]!.shape = shape
    try folder.write()
    expectRefusal(.malformed, name, "expected shape \(expected)", "found \(found)") { _ = try folder.load() }
  }

  @Test(arguments: [ElementType.i16, .u16]) func refusesAnotherType(type: ElementType) throws {
    let name = "model.layers.0.mlp.down_proj.weight"
    let folder = try ModelFolder("f16")
    folder.tensors[name]!.type = type
    try folder.write()
    expectRefusal(.malformed, name, "F32, BF16 or F16", type.rawValue) { _ = try folder.load() }
  }

  /// An index must not lead out of its folder, wherever the folder came from.
  @Test(arguments: ["../model.safetensors", "/etc/passwd", "sub/../../model.safetensors", "sub//b", "..", ""])
  func refusesAFileOutsideTheFolder(file: String) throws {
    let folder = try ModelFolder("f16")
    try folder.write(to: "a.safetensors")
    try folder.writeIndex(#"{"weight_map": {"lm_head.weight": "\#(file)"}}"#)
    expectRefusal(.malformed, "index.json", "lm_head.weight", "beside the index") { _ = try folder.load() }
  }

  @Test func refusesAnIndexWithoutAMap() throws {
    let folder = try ModelFolder("f16")
    for text in ["{}", #"{"weight_map": []}"#, #"{"weight_map": {"lm_head.weight": 1}}"#, "{"] {
      try folder.writeIndex(text)
      expectRefusal { _ = try folder.load() }
    }
  }

  @Test func refusesAnIndexOfFilesThatAreNotThere() throws {
    let folder = try ModelFolder("f16")
    try folder.writeIndex(#"{"weight_map": {"lm_head.weight": "model-00001-of-00002.safetensors"}}"#)
    expectRefusal(.cannotOpen, "model-00001-of-00002.safetensors") { _ = try folder.load() }
  }

  @Test func refusesAFileThatIsCut() throws {
    let folder = try ModelFolder("f16")
    try folder.write()
    let whole = try Data(contentsOf: folder.temporary.url("model.safetensors"))
    for length in [0, 7, 100, whole.count - 1] {
      try whole.prefix(length).write(to: folder.temporary.url("model.safetensors"))
      expectRefusal(.malformed, "model.safetensors") { _ = try folder.load() }
    }
  }

  @Test func refusesAFolderWithoutWeights() throws {
    let folder = try ModelFolder("f16")
    expectRefusal(.cannotOpen, "model.safetensors") { _ = try folder.load() }
  }

  @Test(arguments: [Int32(61), -1, .max, .min]) func refusesATokenBeyondTheVocabulary(id: Int32) throws {
    let model = try loadModel("\(GoldenFile.folder)/f16")
    expectRefusal(.malformed, "token id \(id)", "61 entries") {
      _ = try ModelInput(
        TokenBatch(inputIDs: [60, 0, id], cuSeqlens: [0, 3], sampleIndex: [0]), model.description)
    }
  }

  /// Widening is exact and files are a matter of storage: two bf16 files and one of f32 are the same model to the bit.
  @Test func storageDoesNotMatter() throws {
    let folder = try ModelFolder("bf16-sharded")
    for (name, tensor) in folder.tensors {
      let widened = stride(from: 0, to: tensor.bytes.count, by: 2).flatMap { [0, 0] + tensor.bytes[$0..<$0 + 2] }
      folder.tensors[name] = ModelFolder.Stored(type: .f32, shape: tensor.shape, bytes: widened)
    }
    try folder.write()
    let golden = try GoldenFile("bf16-sharded")
    let (sharded, whole) = (try loadModel(golden.model), try folder.load())
    for tokens in try golden.batches("plain") {
      let batch = try ModelInput(tokens, whole.description)
      #expect(try whole.logits(batch) == sharded.logits(batch))
    }
  }
}
