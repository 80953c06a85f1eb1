import Decoders
import Foundation
import Glibc
import SystemIO
import TensorFiles
import TensorStream
import TestSupport
import Testing

/// What lies in a model's folder, and what is read of it. Tests/Parity/compare_checkpoints.py asks transformers.
@Suite struct CheckpointLayoutTests {
  /// Logits of a few tokens, which show which weights were read.
  private func logits(_ folder: ModelFolder) throws -> [Float] {
    let model = try folder.load()
    return try model.logits(
      ModelInput(TokenBatch(inputIDs: [5, 3, 60, 1], cuSeqlens: [0, 4], sampleIndex: [0]), model.description))
  }

  private func change(_ tensor: inout ModelFolder.Stored) { tensor.bytes[1] ^= 0x40 }

  @Test func theSingleFileWinsOverAnIndex() throws {
    let folder = try ModelFolder("f16")
    try folder.write()
    let expected = try logits(folder)
    change(&folder.tensors["model.norm.weight"]!)
    try folder.write(to: "model-00001-of-00001.safetensors")
    try folder.writeIndex(#"{"weight_map": {"model.norm.weight": "model-00001-of-00001.safetensors"}}"#)
    try folder.writeTorch()
    #expect(try logits(folder) == expected)
    try FileManager.default.removeItem(atPath: folder.temporary.file("model.safetensors"))
    let changed = try logits(folder)
    #expect(changed != expected)
    try FileManager.default.removeItem(atPath: folder.temporary.file("model.safetensors.index.json"))
    #expect(try logits(folder) == changed)
  }

  /// All tensors of the files that an index names count, whatever it says of each.
  @Test func anIndexNamesFiles() throws {
    let folder = try ModelFolder("f16")
    try folder.write()
    let expected = try logits(folder)
    let identity = try folder.weights()
    try folder.write({ $0 < "model.layers.1" }, to: "a.safetensors")
    try folder.write({ $0 >= "model.layers.1" }, to: "b.safetensors")
    try FileManager.default.removeItem(atPath: folder.temporary.file("model.safetensors"))
    try folder.writeIndex(#"{"weight_map": {"model.norm.weight": "a.safetensors", "lm_head.weight": "b.safetensors"}}"#)
    #expect(try logits(folder) == expected)
    #expect(try folder.weights() == identity)
    // Below the index, too.
    try makeFolder(folder.temporary.file("deep/er"))
    try FileManager.default.moveItem(
      atPath: folder.temporary.file("b.safetensors"), toPath: folder.temporary.file("deep/er/b.safetensors"))
    try folder.writeIndex(#"{"weight_map": {"a": "a.safetensors", "lm_head.weight": "deep/er/b.safetensors"}}"#)
    #expect(try logits(folder) == expected)
  }

  @Test(arguments: [false, true]) func pytorchModelBin(transposed: Bool) throws {
    let folder = try ModelFolder("f16")
    try folder.write()
    let (expected, identity) = (try logits(folder), try folder.weights())
    try FileManager.default.removeItem(atPath: folder.temporary.file("model.safetensors"))
    try folder.writeTorch(transposed: transposed)
    #expect(try logits(folder) == expected)
    #expect(try folder.weights() == identity)
  }

  @Test func anIndexOfPytorchFiles() throws {
    let folder = try ModelFolder("f16")
    try folder.write()
    let expected = try logits(folder)
    try FileManager.default.removeItem(atPath: folder.temporary.file("model.safetensors"))
    try folder.writeTorch(to: "pytorch_model-00001-of-00001.bin")
    try folder.write(
      #"{"weight_map": {"lm_head.weight": "pytorch_model-00001-of-00001.bin"}}"#, to: "pytorch_model.bin.index.json")
    #expect(try logits(folder) == expected)
  }

  /// `save_pretrained` of the model without a head, and of a wrapper around it.
  @Test(arguments: ["", "model.model."]) func prefixesThatTransformersChanges(prefix: String) throws {
    let folder = try ModelFolder("f16")
    try folder.write()
    let (expected, identity) = (try logits(folder), try folder.weights())
    folder.tensors = Dictionary(
      uniqueKeysWithValues: folder.tensors.map { name, tensor in
        (name.hasPrefix("model.") ? prefix + name.dropFirst(6) : name, tensor)
      })
    try folder.write()
    #expect(try logits(folder) == expected)
    #expect(try folder.weights() == identity)
  }

  @Test(arguments: ["module.", "_orig_mod.", "transformer."]) func otherPrefixesAreRefused(prefix: String) throws {
    let folder = try ModelFolder("f16")
    folder.tensors = Dictionary(uniqueKeysWithValues: folder.tensors.map { (prefix + $0, $1) })
    try folder.write()
    expectRefusal(.malformed, "lm_head.weight is missing", "\(prefix)lm_head.weight is there") {
      _ = try folder.load()
    }
  }

  @Test func oneTensorUnderTwoNames() throws {
    let folder = try ModelFolder("f16")
    folder.tensors["norm.weight"] = folder.tensors["model.norm.weight"]
    try folder.write()
    expectRefusal(.malformed, "norm.weight", "another one") { _ = try folder.load() }
  }

  /// The matrix of a tied model lies under the embedding's name, the head's, or both.
  @Test func tiedWeights() throws {
    let folder = try ModelFolder("f16")
    try folder.setEntry("tie_word_embeddings", "true")
    let (embedding, head) = ("model.embed_tokens.weight", "lm_head.weight")
    let own = folder.tensors[head]!
    folder.tensors[head] = nil
    try folder.write()
    let (expected, identity) = (try logits(folder), try folder.weights())
    folder.tensors[head] = folder.tensors[embedding]
    try folder.write()
    #expect(try logits(folder) == expected && folder.weights() == identity)
    #expect(try Checkpoint(folder.path).warnings.isEmpty)
    folder.tensors[embedding] = nil
    try folder.write()
    #expect(try logits(folder) == expected && folder.weights() == identity)

    // A head of its own is used, whatever config.json says, and said.
    folder.tensors[embedding] = folder.tensors[head]
    folder.tensors[head] = own
    try folder.write()
    let separate = try logits(folder)
    #expect(separate != expected)
    #expect(try folder.weights() != identity)
    #expect(try Checkpoint(folder.path).warnings.contains { $0.contains("lm_head.weight differs") })
    try folder.setEntry("tie_word_embeddings", "false")
    #expect(try logits(folder) == separate)
    #expect(try Checkpoint(folder.path).warnings.isEmpty)
  }

  /// transformers starts biases that a file lacks with zeros, all else at random.
  @Test func biasesThatAreNotThere() throws {
    let folder = try ModelFolder("f16")
    for (name, tensor) in folder.tensors where name.hasSuffix(".bias") {
      folder.tensors[name]!.bytes = [UInt8](repeating: 0, count: tensor.bytes.count)
    }
    try folder.write()
    let expected = try logits(folder)
    folder.tensors = folder.tensors.filter { !$0.key.hasSuffix(".bias") }
    try folder.write()
    #expect(try logits(folder) == expected)
    #expect(
      try Checkpoint(folder.path).warnings.contains {
        $0.contains("has no model.layers.0.self_attn.k_proj.bias and none like it")
      })
  }

  @Test func moreLayersThanTheConfiguration() throws {
    let folder = try ModelFolder("f16")
    try folder.write()
    let identity = try folder.weights()
    for (name, tensor) in folder.tensors where name.hasPrefix("model.layers.1.") {
      folder.tensors["model.layers.2." + name.dropFirst(15)] = tensor
    }
    try folder.write()
    let checkpoint = try Checkpoint(folder.path)
    #expect(checkpoint.warnings.count == 1)
    #expect(checkpoint.warnings.contains { $0.contains("has 3 layers") && $0.contains("config.json says 2") })
    #expect(try folder.weights() == identity)
  }

  @Test(arguments: [
    ("model.layers.0.self_attn.rotary_emb.inv_freq", false), ("score.weight", false), ("v_head.summary.weight", false),
    ("model.layers.0.self_attn.o_proj.bias", true), ("something.else", true),
  ])
  func tensorsThatAreLeft(name: String, isSaid: Bool) throws {
    let folder = try ModelFolder("f16")
    folder.tensors[name] = .init(type: .f32, shape: [1], bytes: [0, 0, 0, 0])
    try folder.write()
    let warnings = try Checkpoint(folder.path).warnings
    #expect(warnings.contains { $0.contains(name) } == isSaid, "\(warnings)")
  }

  @Test(arguments: [
    ("model.layers.0.mlp.up_proj.qweight", "quantised"), ("model.layers.0.mlp.up_proj.weight_scale_inv", "quantised"),
    ("model.layers.0.mlp.up_proj.weight.absmax", "quantised"), ("model.layers.0.mlp.up_proj.SCB", "quantised"),
    ("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight", "adapter"),
    ("model.layers.0.mlp.up_proj.lora_B.default.weight", "adapter"),
  ])
  func tensorsOfAnotherKindOfFile(name: String, what: String) throws {
    let folder = try ModelFolder("f16")
    folder.tensors[name] = .init(type: .f32, shape: [1], bytes: [0, 0, 0, 0])
    try folder.write()
    expectRefusal(.malformed, name, what) { _ = try folder.load() }
  }

  @Test(arguments: [ElementType.i8, .f8e4m3, .u8]) func quantisedTypes(type: ElementType) throws {
    let folder = try ModelFolder("f16")
    let name = "model.layers.0.mlp.up_proj.weight"
    folder.tensors[name]!.type = type
    folder.tensors[name]!.bytes.removeLast(folder.tensors[name]!.bytes.count / 2)
    try folder.write()
    expectRefusal(.malformed, name, type.rawValue, "quantised") { _ = try folder.load() }
  }

  @Test(arguments: [
    ("model.gguf", "GGUF"), ("model.fp16.safetensors", "a variant"),
    ("model-00001-of-00002.safetensors", "without an index"), ("pytorch_model-00001-of-00002.bin", "without an index"),
    ("model.safetensors.incomplete", "did not finish"), ("tf_model.h5", "a format that is not read"),
    ("notes.txt", "notes.txt"),
  ])
  func foldersWithoutWeights(file: String, words: String) throws {
    let folder = try ModelFolder("f16")
    try folder.write("x", to: file)
    expectRefusal(.cannotOpen, file, words, "expected model.safetensors") { _ = try folder.load() }
  }

  @Test(arguments: ["adapter_config.json", "adapter_model.safetensors", "adapter_model.bin"])
  func adapters(file: String) throws {
    let folder = try ModelFolder("f16")
    try folder.write()
    try folder.write("{}", to: file)
    expectRefusal(.malformed, file, "merge it into the model") { _ = try folder.load() }
    for name in ["model.safetensors", "config.json"] {
      try FileManager.default.removeItem(atPath: folder.temporary.file(name))
      expectRefusal(.malformed, file, "expected a whole model") { _ = try folder.load() }
    }
  }

  @Test(arguments: [
    ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer"), ("", "an empty file"),
    ("<!DOCTYPE html>\n<html>", "a web page"), ("\n<HTML>", "a web page"),
    (String(repeating: "\0", count: 5000), "a file of zeros"), ("GGUF\u{3}\0\0\0", "a GGUF file"),
  ])
  func filesOfAnotherKind(text: String, words: String) throws {
    for file in ["model.safetensors", "pytorch_model.bin", "config.json", "model.safetensors.index.json"] {
      let folder = try ModelFolder("f16")
      if file == "config.json" { try folder.write() }
      try folder.write(text, to: file)
      expectRefusal(.malformed, file, words) { _ = try folder.load() }
    }
  }

  /// Nothing is waited for.
  @Test(arguments: ["config.json", "model.safetensors", "pytorch_model.bin", "model.safetensors.index.json"])
  func pipesAndLinksToNothing(file: String) throws {
    let folder = try ModelFolder("f16")
    if file == "config.json" {
      try folder.write()
      try FileManager.default.removeItem(atPath: folder.temporary.file(file))
    }
    let path = folder.temporary.file(file)
    #expect(mkfifo(path, 0o600) == 0)
    expectRefusal(.cannotOpen, file, "found a pipe") { _ = try folder.load() }
    #expect(unlink(path) == 0 && symlink("/nowhere/blob", path) == 0)
    expectRefusal(.cannotOpen, file, "a link to /nowhere/blob, which is not there") { _ = try folder.load() }
    #expect(unlink(path) == 0 && mkdir(path, 0o700) == 0)
    expectRefusal(.cannotOpen, file, "found a folder") { _ = try folder.load() }
  }

  /// Wherever they lead: the folder's owner made them.
  @Test func linksAreFollowed() throws {
    let (folder, store) = (try ModelFolder("f16"), try TemporaryFolder())
    try folder.write()
    let expected = try logits(folder)
    try FileManager.default.moveItem(atPath: folder.temporary.file("model.safetensors"), toPath: store.file("blob"))
    #expect(symlink(store.file("blob"), folder.temporary.file("model.safetensors")) == 0)
    #expect(try logits(folder) == expected)
    #expect(rename(folder.temporary.file("model.safetensors"), folder.temporary.file("a.safetensors")) == 0)
    try folder.writeIndex(#"{"weight_map": {"lm_head.weight": "a.safetensors"}}"#)
    #expect(try logits(folder) == expected)
  }

  @Test(arguments: ["config.json", "model.safetensors"]) func aFileInsteadOfAFolder(name: String) throws {
    let folder = try ModelFolder("f16")
    try folder.write()
    expectRefusal(.cannotOpen, "expected the model's folder, \(folder.path)") {
      _ = try Checkpoint(folder.temporary.file(name))
    }
  }
}
