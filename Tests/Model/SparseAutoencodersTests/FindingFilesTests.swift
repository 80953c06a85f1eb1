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

  /// Llama Scope's tensors lie a folder below what names them and its configuration.
  @Test(arguments: ["", "/checkpoints", "/checkpoints/final.safetensors", "/hyperparams.json"])
  func tensorsBelowTheirConfiguration(_ end: String) throws {
    let folder =
      "\(fixtures)/published_llama_scope_r/Llama3_1-8B-Base-LXR-8x/Llama3_1-8B-Base-L15R-8x"
    let autoencoder = try SparseAutoencoder(folder + end)
    #expect(autoencoder.format == .llamaScope && autoencoder.path == "\(folder)/checkpoints/final.safetensors")
    #expect(
      try SparseAutoencoder.files(folder + end, layer: 0)
        == ["\(folder)/checkpoints/final.safetensors", "\(folder)/hyperparams.json"])
  }

  @Test func theFilesThatDetermineWhatItComputes() throws {
    #expect(try SparseAutoencoder.files(batchTopK, layer: 3) == ["\(batchTopK)/ae.pt", "\(batchTopK)/config.json"])
    let folder = "\(fixtures)/published_connor_rob_hook_z/attn-saes-gpt2-small-all-layers"
    let name = "gpt2-small_L5_Hcat_z_lr1.20e-03_l11.80e+00_ds12_bs4096_v9"
    #expect(
      try SparseAutoencoder.files("\(folder)/\(name).pt", layer: 5)
        == ["\(folder)/\(name).pt", "\(folder)/\(name)_cfg.json"])
  }

  /// A star stands for one name; which of several was meant is asked.
  @Test func aStarForTheOneName() throws {
    let folder = try TemporaryFolder()
    for name in [
      "layer_3/width_16k/average_l0_71", "layer_4/width_16k/average_l0_22", "layer_4/width_16k/average_l0_105",
    ] {
      try copy(["ae.pt", "config.json"], to: folder.url(name))
    }
    func found(_ pattern: String, layer: Int) throws -> String {
      String(try SparseAutoencoder(folder.file(pattern), layer: layer).path.dropFirst(folder.path.count + 1))
    }
    let pattern = "layer_{layer}/width_16k/average_l0_*"
    for one in [pattern, "layer_{layer}/*/*", "layer_{layer}/width_*k/*_l0_*", "*_{layer}/width_16k/average_l0_71/ae*"]
    {
      #expect(try found(one, layer: 3) == "layer_3/width_16k/average_l0_71/ae.pt", "\(one)")
    }
    #expect(try found("layer_{layer}/width_16k/*_l0_1*", layer: 4) == "layer_4/width_16k/average_l0_105/ae.pt")
    let several = try #require(#expect(throws: Failure.self) { try found(pattern, layer: 4) })
    #expect(several.kind == .usage)
    #expect(
      several.description
        == "\(folder.path)/layer_4/width_16k/average_l0_*: expected one match, found 2: average_l0_105, average_l0_22; "
        + "which of them is meant?")
    let none = try #require(#expect(throws: Failure.self) { try found("layer_{layer}/width_16k/canonical*", layer: 4) })
    #expect(none.kind == .cannotOpen && none.description.hasSuffix("found average_l0_105, average_l0_22"))
    #expect(throws: Failure.self) { try found(pattern, layer: 5) }
    // What an interrupted download left is no match.
    try FileManager.default.createDirectory(
      at: folder.url("layer_3/width_16k/average_l0_99"), withIntermediateDirectories: true)
    #expect(try found(pattern, layer: 3) == "layer_3/width_16k/average_l0_71/ae.pt")
    // A name that has a star is that name.
    try copy(["ae.pt", "config.json"], to: folder.url("layer_3/width_16k/average_l0_*"))
    #expect(try found(pattern, layer: 3) == "layer_3/width_16k/average_l0_*/ae.pt")
  }

  @Test func everythingBelowAFolder() throws {
    let folder = try TemporaryFolder()
    try copy(["ae.pt", "config.json"], to: folder.url("resid_post_layer_3/trainer_0"))
    try copy(["ae.pt"], to: folder.url("resid_post_layer_3/trainer_0/checkpoints"))
    for name in ["layer0.sae.pt", "layer1.sae.pt"] {
      try FileManager.default.copyItem(
        atPath: "\(fixtures)/qwen_scope-L0_3/layer0.sae.pt", toPath: folder.file(name))
    }
    let scope = "published_llama_scope_r/Llama3_1-8B-Base-LXR-8x"
    try FileManager.default.copyItem(atPath: "\(fixtures)/\(scope)", toPath: folder.file("scope"))
    try Data("no tensors".utf8).write(to: folder.url("README.md"))
    try Data("no tensors".utf8).write(to: folder.url("broken.safetensors"))
    let listed = try ListedAutoencoder.all(below: folder.path)
    #expect(
      listed.map(\.name).sorted() == [
        "broken.safetensors", "layer0.sae.pt", "layer1.sae.pt", "resid_post_layer_3/trainer_0",
        "scope/Llama3_1-8B-Base-L15R-8x",
      ])
    let places = Dictionary(
      uniqueKeysWithValues: listed.map { ($0.name, (try? $0.result.get())?.placeInWords ?? "refused") })
    #expect(places["scope/Llama3_1-8B-Base-L15R-8x"] == "resid_post.15")
    #expect(places["resid_post_layer_3/trainer_0"] == "mlp_out.3" && places["broken.safetensors"] == "refused")
    // Without a name of theirs in the path, nothing says their k.
    #expect(places["layer0.sae.pt"] == "refused")
    #expect(try ListedAutoencoder.all(below: "\(folder.path)/resid_post_layer_3/trainer_0").map(\.name) == ["."])
    #expect(throws: Failure.self) { try ListedAutoencoder.all(below: "/nowhere/at/all") }
  }

  @Test func whatTheFolderHoldsInstead() throws {
    let folder = try TemporaryFolder()
    #expect(try failure(folder.path).description.hasSuffix("found an empty folder"))
    for name in ["trainer_1", "trainer_0"] { try copy(["ae.pt", "config.json"], to: folder.url(name)) }
    let above = try failure(folder.path)
    #expect(above.kind == .cannotOpen)
    #expect(
      above.description
        == "\(folder.path): expected one file of tensors, such as ae.pt, found folders that have one: trainer_0, "
        + "trainer_1; this names one: --sae \(folder.path)/trainer_0, with {layer} in place of a layer's number for several"
    )
    try copy(["ae.pt", "config.json"], to: folder.url("above/it's/trainer_0"))
    let quoted = try failure(folder.file("above")).description
    #expect(quoted.contains("found folders that have one: it's/trainer_0;"))
    #expect(quoted.hasSuffix("--sae '\(folder.path)/above/it'\\''s/trainer_0'"))
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

  /// A pipe would keep a reader waiting for a writer.
  @Test(.timeLimit(.minutes(1)), arguments: ["ae.pt", "config.json"])
  func whatIsNoRegularFile(_ name: String) throws {
    let folder = try TemporaryFolder()
    try copy(["ae.pt", "config.json"], to: folder.url("sae"))
    let path = folder.file("sae/\(name)")
    func refusal() throws -> Failure {
      let found = try failure(folder.file("sae"))
      try FileManager.default.removeItem(atPath: path)
      return found
    }
    try FileManager.default.removeItem(atPath: path)
    #expect(mkfifo(path, 0o600) == 0)
    #expect(try refusal() == Failure(.cannotOpen, "\(path): cannot open: expected a file, found a pipe"))
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    #expect(try refusal() == Failure(.cannotOpen, "\(path): cannot open: expected a file, found a folder"))
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "/dev/zero")
    #expect(try refusal() == Failure(.cannotOpen, "\(path): cannot open: expected a file, found a device"))
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "/nowhere/blob")
    #expect(
      try refusal()
        == Failure(
          .cannotOpen, "\(path): cannot open: expected a file, found a link to /nowhere/blob, which is not there"))
    #expect(try failure("/dev/null").description == "/dev/null: cannot open: expected a file, found a device")
  }

  /// What git and downloads leave in place of a file.
  @Test func whatAFileIsInstead() throws {
    let folder = try TemporaryFolder()
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    for name in ["ae.pt", "sae_weights.safetensors", "sae.safetensors", "params.npz", "config.json"] {
      for (contents, what) in [
        (pointer, "a Git LFS pointer"), ("<!DOCTYPE html>\n", "a web page"), ("", "an empty file"),
      ] {
        try copy(["ae.pt", "config.json"], to: folder.url("sae"))
        if name != "config.json" { try FileManager.default.removeItem(at: folder.url("sae/ae.pt")) }
        try Data(contents.utf8).write(to: folder.url("sae/\(name)"))
        let found = try failure(folder.file("sae"))
        #expect(found.kind == .malformed && found.description.hasPrefix(folder.file("sae/\(name)")))
        #expect(found.description.contains("found \(what)") && !found.description.contains("\n"), "\(found)")
        try FileManager.default.removeItem(at: folder.url("sae"))
      }
    }
  }

  @Test func aFileThatIsCutOffIsCalledThat() throws {
    let folder = try TemporaryFolder()
    for (fixture, name) in [
      ("dictionary_learning_top_k", "ae.pt"), ("saelens_topk", "sae_weights.safetensors"),
      ("gemma_scope", "params.npz"),
    ] {
      let whole = try Data(contentsOf: URL(fileURLWithPath: "\(fixtures)/\(fixture)/\(name)"))
      try whole.dropLast(100).write(to: folder.url(name))
      let found = try failure(folder.file(name)).description
      #expect(found.contains("cut off") && !found.contains("\n"), "\(found)")
    }
  }

  @Test func qwenScopeNeedsAK() throws {
    let folder = try TemporaryFolder()
    let file = folder.file("layer0.sae.pt")
    try FileManager.default.copyItem(atPath: "\(fixtures)/qwen_scope-L0_3/layer0.sae.pt", toPath: file)
    #expect(try failure(file).description.contains("k: expected it in the path"))
    var options = SparseAutoencoder.Options()
    options.k = 2
    let given = try SparseAutoencoder(file, options: options)
    #expect(given.k == 2 && given.usesGivenK)
    for name in ["saelens_topk", "dictionary_learning_batch_top_k", "sparsify_topk/layers.3.mlp", "gemma_scope"] {
      #expect(try !SparseAutoencoder("\(fixtures)/\(name)", options: options).usesGivenK, "\(name)")
    }
    options.k = 13
    #expect(throws: Failure.self) { try SparseAutoencoder(file, options: options) }
  }
}
