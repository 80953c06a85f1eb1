import Foundation
import SparseAutoencoders
import SystemIO
import TestSupport
import Testing

@Suite struct FindingFilesTests {
  private let batchTopK = fixtures + "/dictionary_learning_batch_top_k"

  private func failure(_ name: String) throws -> Failure {
    try #require(#expect(throws: Failure.self) { try SparseAutoencoder(name) })
  }

  private func copy(_ names: [String], to folder: URL) throws {
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    for name in names {
      try FileManager.default.copyItem(atPath: "\(batchTopK)/\(name)", toPath: folder.appendingPathComponent(name).path)
    }
  }

  @Test func theLayerIsFilledIn() throws {
    #expect(SparseAutoencoder.substitute(12, in: "a/layer_{layer}/b{layer}") == "a/layer_12/b12")
    #expect(SparseAutoencoder.substitute(12, in: "a/b") == "a/b")
    #expect(try failure("/nowhere/mlp_out_layer_{layer}/trainer_0").description.contains("{layer}"))
    let folder = try TemporaryFolder()
    try copy(["ae.pt", "config.json"], to: folder.url("mlp_out_layer_3/trainer_0"))
    let template = folder.file("mlp_out_layer_{layer}/trainer_0")
    #expect(try SparseAutoencoder(template, layer: 3).path == folder.file("mlp_out_layer_3/trainer_0/ae.pt"))
    #expect(throws: Failure.self) { try SparseAutoencoder(template, layer: 4) }
  }

  @Test func aFolderAFileOrItsConfiguration() throws {
    for name in ["", "/", "/ae.pt", "/config.json"] {
      #expect(try SparseAutoencoder(batchTopK + name).className == "BatchTopKSAE", "\(name)")
    }
  }

  @Test func aCheckpointsConfigurationLiesAboveIt() throws {
    let folder = try TemporaryFolder()
    try copy(["config.json"], to: folder.url("trainer_0"))
    try copy(["ae.pt"], to: folder.url("trainer_0/checkpoints"))
    #expect(try SparseAutoencoder(folder.file("trainer_0/checkpoints/ae.pt")).className == "BatchTopKSAE")
  }

  @Test func whatTheFolderHoldsInstead() throws {
    let folder = try TemporaryFolder()
    #expect(try failure(folder.path).description.hasSuffix("found an empty folder"))
    for name in ["trainer_1", "trainer_0"] { try copy(["ae.pt", "config.json"], to: folder.url(name)) }
    let subfolders = try failure(folder.path)
    #expect(
      subfolders.kind == .cannotOpen && subfolders.description.hasSuffix("such as ae.pt, found trainer_0, trainer_1"))
    try copy(["ae.pt"], to: folder.url("."))
    try FileManager.default.copyItem(
      atPath: fixtures + "/saelens_topk/sae_weights.safetensors", toPath: folder.file("sae_weights.safetensors"))
    #expect(try failure(folder.path).description.hasSuffix("found ae.pt, sae_weights.safetensors"))
  }

  @Test func whatIsNotThere() throws {
    for name in ["/nowhere/at/all", "./nowhere/at", "nowhere"] {
      let found = try failure(name)
      #expect(
        found.kind == .cannotOpen && found.description.hasPrefix(name) && !found.description.contains("hf download"))
    }
    let hub = try failure("no-owner-of-this-name/no-repository/resid_post_layer_3/trainer_0")
    #expect(hub.kind == .cannotOpen)
    #expect(
      hub.description.hasSuffix(
        "hf download no-owner-of-this-name/no-repository --include 'resid_post_layer_3/trainer_0*'"))
    #expect(
      try failure("no-owner-of-this-name/no-repository").description.hasSuffix(
        "hf download no-owner-of-this-name/no-repository"))
  }

  @Test func qwenScopeNeedsAK() throws {
    let folder = try TemporaryFolder()
    let file = folder.file("layer0.sae.pt")
    try FileManager.default.copyItem(atPath: "\(fixtures)/qwen_scope-L0_3/layer0.sae.pt", toPath: file)
    #expect(try failure(file).description.contains("k: expected it in the path"))
    var options = SparseAutoencoder.Options()
    options.k = 2
    #expect(try SparseAutoencoder(file, options: options).k == 2)
    options.k = 13
    #expect(throws: Failure.self) { try SparseAutoencoder(file, options: options) }
  }
}
