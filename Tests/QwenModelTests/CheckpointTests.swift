import Foundation
import QwenModel
import Safetensors
import SystemIO
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// A model's folder with something wrong in it: what is wrong is named, before anything is computed.
@Suite struct CheckpointTests {
  /// A tensor on its way into a file.
  struct Stored {
    var type: ElementType
    var shape: [Int]
    var bytes: [UInt8]
  }

  /// A copy of a golden model, whose tensors can be changed before it is written.
  final class Folder {
    let temporary: TemporaryFolder
    var tensors: [String: Stored] = [:]

    init(_ golden: String) throws {
      temporary = try TemporaryFolder()
      let source = "\(GoldenFile.folder)/\(golden)"
      try FileManager.default.copyItem(atPath: "\(source)/config.json", toPath: temporary.file("config.json"))
      for name in try FileManager.default.contentsOfDirectory(atPath: source) where name.hasSuffix(".safetensors") {
        let file = try SafetensorsFile(path: "\(source)/\(name)")
        for tensor in file.header.tensors {
          tensors[tensor.name] = Stored(type: tensor.type, shape: tensor.shape, bytes: Array(file.bytes(of: tensor)))
        }
      }
    }

    func write(_ names: (String) -> Bool = { _ in true }, to file: String = "model.safetensors") throws {
      let chosen = tensors.filter { names($0.key) }.sorted { $0.key < $1.key }
      let header = SafetensorsHeader(
        metadata: ["format": "pt"], layingOut: chosen.map { ($0.key, $0.value.type, $0.value.shape) })
      try Data(header.encoded() + chosen.flatMap(\.value.bytes)).write(to: temporary.url(file))
    }

    func writeIndex(_ text: String) throws {
      try text.write(to: temporary.url("model.safetensors.index.json"), atomically: true, encoding: .utf8)
    }

    func load() throws -> QwenModel { try loadModel(temporary.path) }
  }

  private func expectRefusal(
    _ kind: Failure.Kind = .malformed, _ words: String..., location: SourceLocation = #_sourceLocation,
    _ body: () throws -> Void
  ) {
    let failure = #expect(throws: Failure.self, sourceLocation: location) { try body() }
    #expect(failure?.kind == kind, sourceLocation: location)
    for word in words {
      #expect(failure?.description.contains(word) == true, "\(failure?.description ?? "")", sourceLocation: location)
    }
  }

  @Test(arguments: [
    "model.layers.0.input_layernorm.weight", "model.layers.1.self_attn.q_proj.bias",
    "model.layers.1.mlp.up_proj.weight",
    "model.norm.weight", "lm_head.weight",
  ])
  func refusesAMissingTensor(name: String) throws {
    let folder = try Folder("f16")
    folder.tensors[name] = nil
    try folder.write()
    expectRefusal(.malformed, name, "missing") { _ = try folder.load() }
  }

  /// The embedding is read row by row, when there are tokens.
  @Test func refusesAMissingEmbedding() throws {
    let folder = try Folder("f16")
    folder.tensors["model.embed_tokens.weight"] = nil
    try folder.write()
    expectRefusal(.malformed, "model.embed_tokens.weight", "missing") {
      let model = try folder.load()
      let tokens = TokenBatch(inputIDs: [1, 2], cuSeqlens: [0, 2], sampleIndex: [0])
      _ = try model.logits(Batch(tokens, model.configuration))
    }
  }

  @Test(arguments: [
    ("model.layers.0.self_attn.k_proj.weight", [40, 54], "[54, 40]", "[40, 54]"),
    ("model.layers.1.self_attn.q_proj.bias", [1, 54], "[54]", "[1, 54]"),
    ("lm_head.weight", [40, 61], "[61, 40]", "[40, 61]"),
  ])
  func refusesAnotherShape(name: String, shape: [Int], expected: String, found: String) throws {
    let folder = try Folder("f16")
    folder.tensors[name]!.shape = shape
    try folder.write()
    expectRefusal(.malformed, name, "expected shape \(expected)", "found \(found)") { _ = try folder.load() }
  }

  @Test(arguments: [ElementType.i16, .u16]) func refusesAnotherType(type: ElementType) throws {
    let name = "model.layers.0.mlp.down_proj.weight"
    let folder = try Folder("f16")
    folder.tensors[name]!.type = type
    try folder.write()
    expectRefusal(.malformed, name, "F32, BF16 or F16", type.rawValue) { _ = try folder.load() }
  }

  /// An index must not lead out of its folder, wherever the folder came from.
  @Test(arguments: ["../model.safetensors", "/etc/passwd", "sub/model.safetensors", "..", ""])
  func refusesAFileOutsideTheFolder(file: String) throws {
    let folder = try Folder("f16")
    try folder.write()
    try folder.writeIndex(#"{"weight_map": {"lm_head.weight": "\#(file)"}}"#)
    expectRefusal(.malformed, "index.json", "lm_head.weight", "beside the index") { _ = try folder.load() }
  }

  @Test func refusesAnIndexWithoutAMap() throws {
    let folder = try Folder("f16")
    for text in ["{}", #"{"weight_map": []}"#, #"{"weight_map": {"lm_head.weight": 1}}"#, "{"] {
      try folder.writeIndex(text)
      expectRefusal { _ = try folder.load() }
    }
  }

  @Test func refusesAnIndexOfFilesThatAreNotThere() throws {
    let folder = try Folder("f16")
    try folder.writeIndex(#"{"weight_map": {"lm_head.weight": "model-00001-of-00002.safetensors"}}"#)
    expectRefusal(.cannotOpen, "model-00001-of-00002.safetensors") { _ = try folder.load() }
  }

  /// The index says where a tensor is, and there it must be.
  @Test func refusesAnIndexThatIsWrong() throws {
    let folder = try Folder("f16")
    try folder.write({ $0 != "model.norm.weight" }, to: "a.safetensors")
    let map = folder.tensors.keys.map { "\"\($0)\": \"a.safetensors\"" }.joined(separator: ",")
    try folder.writeIndex("{\"weight_map\": {\(map)}}")
    expectRefusal(.malformed, "model.norm.weight", "missing") { _ = try folder.load() }
  }

  @Test func refusesAFileThatIsCut() throws {
    let folder = try Folder("f16")
    try folder.write()
    let whole = try Data(contentsOf: folder.temporary.url("model.safetensors"))
    for length in [0, 7, 100, whole.count - 1] {
      try whole.prefix(length).write(to: folder.temporary.url("model.safetensors"))
      expectRefusal(.malformed, "model.safetensors") { _ = try folder.load() }
    }
  }

  @Test func refusesAFolderWithoutWeights() throws {
    let folder = try Folder("f16")
    expectRefusal(.cannotOpen, "model.safetensors") { _ = try folder.load() }
  }

  @Test(arguments: [Int32(61), -1, .max, .min]) func refusesATokenBeyondTheVocabulary(id: Int32) throws {
    let model = try loadModel("\(GoldenFile.folder)/f16")
    expectRefusal(.malformed, "token id \(id)", "61 entries") {
      _ = try Batch(
        TokenBatch(inputIDs: [60, 0, id], cuSeqlens: [0, 3], sampleIndex: [0]), model.configuration)
    }
  }

  /// Widening is exact and files are a matter of storage: two bf16 files and one of f32 are the same model to the bit.
  @Test func storageDoesNotMatter() throws {
    let folder = try Folder("bf16-sharded")
    for (name, tensor) in folder.tensors {
      let widened = stride(from: 0, to: tensor.bytes.count, by: 2).flatMap { [0, 0] + tensor.bytes[$0..<$0 + 2] }
      folder.tensors[name] = Stored(type: .f32, shape: tensor.shape, bytes: widened)
    }
    try folder.write()
    let golden = try GoldenFile("bf16-sharded")
    let (sharded, whole) = (try loadModel(golden.model), try folder.load())
    for tokens in try golden.batches("plain") {
      let batch = try Batch(tokens, whole.configuration)
      #expect(try whole.logits(batch) == sharded.logits(batch))
    }
  }

  /// A program that needs only upper layers asks for no others, and no head unless it computes a loss.
  @Test func loadsOnlyWhatIsAskedFor() throws {
    let folder = try Folder("f16")
    folder.tensors = folder.tensors.filter { $0.key.hasPrefix("model.layers.1.") }
    try folder.write()
    let checkpoint = try Checkpoint(folder.temporary.path)
    let operations = try CPUOperations(threads: 1)
    #expect(throws: Never.self) {
      try QwenModel(checkpoint, layers: 1..<2, includingHead: false, operations: operations)
    }
    expectRefusal(.malformed, "model.layers.0") {
      _ = try QwenModel(checkpoint, layers: 0..<2, includingHead: false, operations: operations)
    }
    expectRefusal(.malformed, "model.norm.weight") {
      _ = try QwenModel(checkpoint, layers: 1..<2, includingHead: true, operations: operations)
    }
  }

  /// Streams name the model they come from: the same for the same files, another for other ones.
  @Test func identityTellsModelsApart() throws {
    func identity(_ name: String) throws -> [String: String] {
      try Checkpoint("\(GoldenFile.folder)/\(name)").identity.filter { $0.key != "model" }
    }
    #expect(try identity("f16") == identity("f16"))
    #expect(try identity("f16") != identity("bf16-sharded"))
  }
}
