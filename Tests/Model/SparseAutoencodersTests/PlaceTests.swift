import Foundation
import SparseAutoencoders
import TensorStream
import TestSupport
import Testing

/// Where autoencoders were made for by the names that the libraries give to places, all of them used at the MLP output
/// of layer 3.
@Suite struct PlaceTests {
  private func misplacement(
    _ site: String? = nil, layer: Int? = nil, isInput: Bool = false, isOneHead: Bool = false,
    at used: Place = Place(.mlpOut, 3)
  ) throws -> String? {
    var trainer: [String: Any] = ["dict_class": "AutoEncoder"]
    trainer["submodule_name"] = site
    trainer["layer"] = layer
    return try misplacement(
      inFolder: "sae", configuration: ["trainer": trainer, "buffer": ["io": isInput ? "in" : "out"]], at: used)
  }

  /// Of an autoencoder in a folder of that name.
  private func misplacement(
    inFolder name: String, configuration: [String: Any]? = nil, at used: Place = Place(.mlpOut, 3)
  ) throws -> String? {
    let folder = try TemporaryFolder()
    try FileManager.default.createDirectory(at: folder.url(name), withIntermediateDirectories: true)
    let values = [
      "encoder.weight": WrittenTensor.floats([6, 4]), "encoder.bias": .floats([6]), "bias": .floats([4]),
      "decoder.weight": .floats([4, 6]) { $0 < 6 ? 1 : 0 },
    ]
    let file = WrittenValue.dictionary(values.mapValues { .tensor($0) }).torchFile()
    try Data(file).write(to: folder.url("\(name)/ae.pt"))
    if let configuration {
      try JSONSerialization.data(withJSONObject: configuration).write(to: folder.url("\(name)/config.json"))
    }
    let path = folder.file("\(name)/ae.pt")
    let end = ", used at \(used.site == .mlpOut ? "the MLP output of layer \(used.layer)" : "\(used)")"
    return try SparseAutoencoder(path).misplacement(at: used).map { message in
      #expect(message.hasPrefix("\(path): made for ") && message.hasSuffix(end))
      return String(message.dropFirst("\(path): made for ".count).dropLast(end.count))
    }
  }

  @Test(arguments: [
    "mlp_out_layer_3", "blocks.3.hook_mlp_out", "model.layers.3.mlp", "layers.3.mlp", "transformer.h.3.mlp",
    "gpt_neox.layers.3.mlp.dense_4h_to_h", "model.layers.3.mlp.down_proj", "transformer.h.3.mlp.c_proj",
    "model.layers.3.post_feedforward_layernorm.output", "something_else", "custom",
  ]) func theOutputOfTheMLP(_ site: String) throws { #expect(try misplacement(site, layer: 3) == nil) }

  @Test(arguments: [
    ("resid_post_layer_3", "the residual stream of layer 3 (resid_post_layer_3)"),
    ("blocks.3.hook_resid_pre", "the residual stream of layer 3 (blocks.3.hook_resid_pre)"),
    ("model.layers.3", "the residual stream of layer 3 (model.layers.3)"),
    ("layers.3", "the residual stream of layer 3 (layers.3)"),
    ("model.layers.3.output", "the residual stream of layer 3 (model.layers.3.output)"),
    ("blocks.3.hook_attn_out", "the attention's output of layer 3 (blocks.3.hook_attn_out)"),
    ("blocks.3.attn.hook_z", "the attention heads' outputs of layer 3 (blocks.3.attn.hook_z)"),
    ("model.layers.3.self_attn.o_proj", "the attention's output of layer 3 (model.layers.3.self_attn.o_proj)"),
    ("blocks.3.hook_mlp_in", "the MLP's input of layer 3 (blocks.3.hook_mlp_in)"),
    ("blocks.3.mlp.hook_post", "the inside of the MLP of layer 3 (blocks.3.mlp.hook_post)"),
    ("model.layers.3.mlp.gate_proj", "the inside of the MLP of layer 3 (model.layers.3.mlp.gate_proj)"),
    ("model.layers.3.mlp.act_fn", "the inside of the MLP of layer 3 (model.layers.3.mlp.act_fn)"),
    ("transformer.h.3.mlp.c_fc", "the inside of the MLP of layer 3 (transformer.h.3.mlp.c_fc)"),
    ("blocks.3.ln2.hook_normalized", "a normalised activation of layer 3 (blocks.3.ln2.hook_normalized)"),
    (
      "model.layers.3.post_attention_layernorm",
      "a normalised activation of layer 3 (model.layers.3.post_attention_layernorm)"
    ),
    ("hook_embed", "the embedding (hook_embed)"), ("embed_tokens", "the embedding (embed_tokens)"),
    ("mlp_out_layer_7", "layer 7 (mlp_out_layer_7)"), ("blocks.0.hook_mlp_out", "layer 0 (blocks.0.hook_mlp_out)"),
  ]) func otherPlaces(_ site: String, _ expected: String) throws { #expect(try misplacement(site) == expected) }

  /// Used elsewhere than at an MLP's output. The stream before a layer is that behind the one before it.
  @Test(
    arguments: [
      ("blocks.3.hook_resid_post", Place(.residPost, 3), true), ("model.layers.3", Place(.residPost, 3), true),
      ("blocks.4.hook_resid_pre", Place(.residPost, 3), true), ("resid_post_layer_3", Place(.residPre, 4), true),
      ("blocks.3.hook_resid_mid", Place(.residMid, 3), true), ("blocks.3.attn.hook_z", Place(.attnZ, 3), true),
      ("blocks.3.hook_attn_out", Place(.attnOut, 3), true), ("layers.3.self_attn", Place(.attnOut, 3), true),
      ("attn_z_layer_3", Place(.attnZ, 3), true), ("attn_z_layer_3", Place(.attnOut, 3), false),
      ("SAE-Res-Qwen3-1.7B-W32K-L0_50", Place(.residPost, 3), true), ("something_else", Place(.attnZ, 9), true),
      ("blocks.3.hook_resid_pre", Place(.residPost, 3), false), ("blocks.3.hook_mlp_out", Place(.residPost, 3), false),
      ("blocks.3.hook_resid_post", Place(.residPost, 4), false), ("blocks.3.attn.hook_z", Place(.attnOut, 3), false),
      ("blocks.3.attn.hook_q", Place(.attnZ, 3), false), ("blocks.3.ln1.hook_normalized", Place(.residPre, 3), false),
    ] as [(String, Place, Bool)])
  func otherUses(_ site: String, _ used: Place, _ fits: Bool) throws {
    let found = try misplacement(site, at: used)
    #expect((found == nil) == fits, "\(found ?? "fits")")
  }

  @Test func layersWithoutAPlace() throws {
    #expect(try misplacement(layer: 3) == nil)
    #expect(try misplacement(layer: 4) == "layer 4")
    #expect(try misplacement("mlp_out_layer_3", layer: 4) == "layer 4 (mlp_out_layer_3)")
    #expect(
      try misplacement("model.layers.3.mlp", isInput: true) == "the input of a module (model.layers.3.mlp) of layer 3")
  }

  /// Where the configuration is silent or missing.
  @Test(
    arguments: [
      ("mlp_out_layer_3/trainer_0", nil), ("some_folder", nil), ("layer_3", nil), ("attention-study/sae", nil),
      ("mlp_out/layer_3_width_16k_l0_small", nil), ("resid_experiment/mlp_out_layer_3/trainer_0", nil),
      ("resid_post_layer_3/trainer_0", "the residual stream of layer 3 (resid_post_layer_3)"),
      ("mlp_out_layer_5/trainer_0/checkpoints", "layer 5 (mlp_out_layer_5)"),
      ("layer_12/width_16k/average_l0_71", "layer 12"), ("layers.4.mlp", "layer 4 (layers.4.mlp)"),
      ("resid_post/layer_3_width_16k_l0_small", "the residual stream of layer 3 (resid_post)"),
      ("Qwen/SAE-Res-Qwen3-1.7B-W32K-L0_50", "the residual stream (SAE-Res-Qwen3-1.7B-W32K-L0_50)"),
    ] as [(String, String?)]) func theNamesOfFolders(_ name: String, _ expected: String?) throws
  {
    #expect(try misplacement(inFolder: name) == expected)
  }

  @Test func theConfigurationSaysMoreThanTheFolder() throws {
    let configuration = ["trainer": ["submodule_name": "mlp_out_layer_3", "layer": 3]]
    #expect(try misplacement(inFolder: "resid_post_layer_9", configuration: configuration) == nil)
  }

  @Test func oneHead() throws {
    let tensors: [String: WrittenTensor] = [
      "W_enc": .floats([4, 6]), "W_dec": .floats([6, 4]), "b_enc": .floats([6]), "b_dec": .floats([4]),
    ]
    let folder = try AutoencoderFolder(
      safetensors: tensors, named: "sae_weights.safetensors",
      configuration: """
        {"architecture": "standard", "d_in": 4, "d_sae": 6,
        "metadata": {"sae_lens_version": "6.0.0", "hook_name": "blocks.3.hook_mlp_out", "hook_head_index": 2}}
        """)
    #expect(
      try folder.open().misplacement(at: Place(.mlpOut, 3))?.contains("one attention head (blocks.3.hook_mlp_out)")
        == true)
  }
}
