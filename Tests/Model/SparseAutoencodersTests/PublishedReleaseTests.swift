import Foundation
import SparseAutoencoders
import TensorStream
import TestSupport
import Testing

/// Files in the layouts of published releases, with what SAELens's loaders make of them: the `published_*` of
/// make_fixtures.py, one for each function of those loaders at least.
@Suite struct PublishedReleaseTests {
  struct Release: Sendable, CustomTestStringConvertible {
    let name: String
    /// Below the fixture's folder.
    let path: String
    let format: SparseAutoencoder.Format
    let place: Place
    var k: Int?
    var modelName: String?
    var isStored = false
    var warnings = 0

    var testDescription: String { name }
    var file: String { "\(fixtures)/published_\(name)/\(path)" }
  }

  /// Two copies of the same files are two autoencoders where a folder's name decides what is computed, and one elsewhere.
  @Test(arguments: [
    ("saes/mlp_out_layer_3/trainer_0/ae.pt", ""),
    ("a/gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71/params.npz", ""),
    ("a/gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6/params.npz", "embedding"),
    ("models--Qwen--SAE-Res-Qwen3-8B-Base-W64K-L0_50/snapshots/0/layer3.sae.pt", "L0_50"),
    (
      "models--jbloom--Gemma-2b-Residual-Stream-SAEs/snapshots/0/gemma_2b_blocks.12.hook_resid_post_16384/x.safetensors",
      "Gemma-2b-Residual-Stream-SAEs,gemma_2b_blocks.12.hook_resid_post_16384"
    ),
  ]) func namesThatDecide(path: String, properties: String) {
    #expect(SparseAutoencoder.properties(inPath: path) == properties)
  }

  static let releases =
    [
      Release(
        name: "gemma_2_res", path: "gemma-scope-2b-pt-res/layer_20/width_16k/average_l0_71", format: .gemmaScope,
        place: Place(.residPost, 20), k: 71, modelName: "gemma-2-2b"),
      Release(
        name: "gemma_2_att", path: "gemma-scope-9b-pt-att/layer_3/width_16k/average_l0_12", format: .gemmaScope,
        place: Place(.attnZ, 3), k: 12, modelName: "gemma-2-9b"),
      Release(
        name: "gemma_2_mlp", path: "gemma-scope-2b-pt-mlp/layer_0/width_65k/average_l0_119", format: .gemmaScope,
        place: Place(.mlpOut, 0), k: 119, modelName: "gemma-2-2b"),
      Release(
        name: "gemma_2_embedding", path: "gemma-scope-2b-pt-res/embedding/width_4k/average_l0_6",
        format: .gemmaScope, place: Place(.residPre, 0), k: 6, modelName: "gemma-2-2b"),
      Release(
        name: "gemma_3_res", path: "gemma-scope-2-270m-pt/resid_post/layer_12_width_16k_l0_big",
        format: .gemmaScope, place: Place(.residPost, 12), k: 20, modelName: "gemma-3-270m"),
      Release(
        name: "gemma_3_att", path: "gemma-scope-2-270m-pt/attn_out_all/layer_3_width_16k_l0_small",
        format: .gemmaScope, place: Place(.attnZ, 3), k: 20, modelName: "gemma-3-270m"),
      Release(
        name: "gemma_3_mlp", path: "gemma-scope-2-270m-pt/mlp_out/layer_5_width_16k_l0_medium",
        format: .gemmaScope, place: Place(.mlpOut, 5), k: 20, modelName: "gemma-3-270m"),
      Release(
        name: "gemma_3_att_bare", path: "gemma-scope-2-270m-pt/attn_out/layer_9_width_16k_l0_small",
        format: .gemmaScope, place: Place(.attnZ, 9)),
      Release(
        name: "gemma_3_mlp_bare", path: "gemma-scope-2-270m-pt/mlp_out_all/layer_17_width_16k_l0_small",
        format: .gemmaScope, place: Place(.mlpOut, 17)),
      Release(
        name: "llama_scope_r", path: "Llama3_1-8B-Base-LXR-8x/Llama3_1-8B-Base-L15R-8x", format: .llamaScope,
        place: Place(.residPost, 15), k: 50),
      Release(
        name: "llama_scope_a", path: "Llama3_1-8B-Base-LXA-8x/Llama3_1-8B-Base-L15A-8x", format: .llamaScope,
        place: Place(.attnOut, 15), k: 50),
      Release(
        name: "llama_scope_m",
        path: "Llama3_1-8B-Base-LXM-8x/Llama3_1-8B-Base-L15M-8x/checkpoints/final.safetensors",
        format: .llamaScope, place: Place(.mlpOut, 15), k: 50),
      Release(
        name: "llama_scope_r1_distill", path: "Llama-Scope-R1-Distill/800M-Slimpajama-0-OpenR1-Math-220k/L7R",
        format: .llamaScope, place: Place(.residPost, 7), k: 50),
      Release(
        name: "goodfire", path: "Llama-3.1-8B-Instruct-SAE-l19", format: .goodfire, place: Place(.residPost, 19),
        modelName: "Llama-3.1-8B-Instruct"),
      Release(
        name: "deepseek_r1", path: "DeepSeek-R1-Distill-Llama-8B-SAE-l19", format: .dictionaryLearning,
        place: Place(.residPost, 19), modelName: "DeepSeek-R1-Distill-Llama-8B"),
      Release(
        name: "connor_rob_hook_z", path: "attn-saes-gpt2-small-all-layers", format: .attentionOutput,
        place: Place(.attnZ, 5), modelName: "gpt2-small"),
      Release(
        name: "qwen_scope", path: "SAE-Res-Qwen3-1.7B-Base-W32K-L0_3/layer11.sae.pt", format: .qwenScope,
        place: Place(.residPost, 11), k: 3, modelName: "Qwen3-1.7B-Base"),
      Release(
        name: "sae_lens_hook_z", path: "attention-saes/layer_4", format: .saeLens, place: Place(.attnZ, 4),
        modelName: "gpt2-small"),
      Release(
        name: "sae_lens_scaled",
        path: "Gemma-2b-Residual-Stream-SAEs/gemma_2b_blocks.12.hook_resid_post_16384", format: .saeLens,
        place: Place(.residPost, 4), modelName: "gpt2-small", warnings: 1),
    ]
    + [("gated", nil), ("top_k", 3), ("batch_top_k", 3), ("matryoshka", 3), ("jump_relu", nil), ("auto_encoder", nil)]
    .map { (name: String, k: Int?) in
      Release(
        name: "dictionary_learning_1_\(name)", path: "lm_sae/pythia70m_sweep_\(name)/resid_post_layer_3/trainer_4",
        format: .dictionaryLearning, place: Place(.residPost, 3), k: k, modelName: "EleutherAI/pythia-70m-deduped",
        isStored: name == "auto_encoder")
    }

  @Test(arguments: releases) func asSAELensComputesIt(_ release: Release) throws {
    var options = SparseAutoencoder.Options()
    options.normalizesDecoder = !release.isStored
    let autoencoder = try SparseAutoencoder(release.file, options: options)
    #expect(autoencoder.format == release.format && autoencoder.k == release.k)
    #expect(autoencoder.provenance.modelName == release.modelName)
    #expect(autoencoder.warnings.count == release.warnings, "\(autoencoder.warnings)")
    try Expectation(fixture: "published_\(release.name)").compare(with: autoencoder)
  }

  /// Where it is used is where the library says that it was made for, and nowhere else.
  @Test(arguments: releases) func whereItGoes(_ release: Release) throws {
    let autoencoder = try SparseAutoencoder(release.file)
    let used = release.place
    #expect(autoencoder.placeInWords == "\(used)")
    #expect(autoencoder.misplacement(at: used) == nil)
    #expect(autoencoder.misplacement(at: Place(used.site, used.layer + 1)) != nil)
    for site in Site.allCases where site != used.site {
      #expect(autoencoder.misplacement(at: Place(site, used.layer)) != nil, "\(site)")
    }
    struct Expected: Decodable { let hook_name: String }
    let text = try Data(contentsOf: URL(fileURLWithPath: "\(fixtures)/published_\(release.name)/expected.json"))
    let hook = try JSONDecoder().decode(Expected.self, from: text).hook_name
    let name = used.site == .attnZ ? "attn.hook_z" : "hook_\(used.site.rawValue)"
    // Gemma's embedding is what its first layer reads.
    #expect(hook == (release.name == "gemma_2_embedding" ? "hook_embed" : "blocks.\(used.layer).\(name)"))
  }

  /// In the hub's cache, an owner and a commit stand in the path.
  @Test func inTheHubsCache() throws {
    let folder = try TemporaryFolder()
    let snapshot = "models--google--gemma-scope-9b-it-res/snapshots/0123456789abcdef/layer_20/width_16k/average_l0_91"
    try FileManager.default.createDirectory(at: folder.url(snapshot), withIntermediateDirectories: true)
    try FileManager.default.copyItem(
      atPath: "\(Self.releases[0].file)/params.npz", toPath: folder.file("\(snapshot)/params.npz"))
    let autoencoder = try SparseAutoencoder(folder.file(snapshot))
    #expect(autoencoder.placeInWords == "resid_post.20" && autoencoder.k == 91)
    #expect(autoencoder.provenance.modelName == "gemma-2-9b-it")
  }
}
