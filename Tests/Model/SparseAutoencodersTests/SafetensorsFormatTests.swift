import Foundation
import SparseAutoencoders
import SystemIO
import TestSupport
import Testing

/// Configurations of SAELens and sparsify of other versions than the fixtures'. D = 4, F = 6.
@Suite struct SafetensorsFormatTests {
  private typealias Change = (inout [String: WrittenTensor]) -> Void

  private func saeLens(_ configuration: String?, _ change: Change = { _ in }) throws -> AutoencoderFolder {
    var tensors: [String: WrittenTensor] = [
      "W_enc": .floats([4, 6]), "W_dec": .floats([6, 4]), "b_enc": .floats([6]), "b_dec": .floats([4]),
    ]
    change(&tensors)
    return try AutoencoderFolder(
      safetensors: tensors, named: "sae_weights.safetensors",
      configuration: configuration.map { adding(["d_in": 4, "d_sae": 6], to: $0) })
  }

  private func sparsify(_ configuration: String?, _ change: Change = { _ in }) throws -> AutoencoderFolder {
    var tensors: [String: WrittenTensor] = [
      "encoder.weight": .floats([6, 4]), "encoder.bias": .floats([6]), "W_dec": .floats([6, 4]), "b_dec": .floats([4]),
    ]
    change(&tensors)
    return try AutoencoderFolder(
      safetensors: tensors, named: "sae.safetensors", configuration: configuration.map { adding(["d_in": 4], to: $0) })
  }

  /// The entries that the library always writes, where the text has not others of these names.
  private func adding(_ entries: [String: Int], to text: String) -> String {
    let missing = entries.filter { !text.contains("\"\($0.key)\"") }.map { "\"\($0.key)\": \($0.value)" }
    let rest = text.dropFirst()
    return "{" + missing.joined(separator: ", ") + (missing.isEmpty || rest == "}" ? "" : ", ") + rest
  }

  private func refusal(_ folder: AutoencoderFolder) throws -> String {
    let failure = #expect(throws: Failure.self) { try folder.open() }
    let message = try #require(failure).description
    #expect(message.hasPrefix(folder.path) && !message.contains("\n"))
    return message
  }

  private struct Unexpected: Error {}

  /// SAELens issue 553: version 5 calls it standard and says top-k elsewhere.
  @Test func topKOfVersion5() throws {
    for function in ["activation_fn_str", "activation_fn"] {
      let folder = try saeLens(
        """
        {"architecture": "standard", "d_in": 4, "d_sae": 6, "\(function)": "topk", "activation_fn_kwargs": {"k": 2},
        "hook_point": "blocks.7.hook_mlp_out", "hook_point_layer": 7, "model_name": "gpt2"}
        """)
      let autoencoder = try folder.open()
      #expect(autoencoder.className == "topk" && autoencoder.k == 2)
      #expect(autoencoder.provenance == .init(modelName: "gpt2", layer: 7, site: "blocks.7.hook_mlp_out"))
      guard case .topK(2) = autoencoder.parameters.activation else { throw Unexpected() }
    }
    #expect(try refusal(saeLens("{\"activation_fn_str\": \"tanh-relu\"}")).contains("found tanh-relu"))
  }

  @Test func whetherTheBiasIsSubtracted() throws {
    #expect(try saeLens("{}").open().parameters.inputBias != nil)
    #expect(try saeLens("{\"apply_b_dec_to_input\": false}").open().parameters.inputBias == nil)
  }

  @Test func normalizationsThatAreFolded() throws {
    for (stated, count) in [("false", 0), ("true", 1), ("\"none\"", 0), ("\"expected_average_only_in\"", 1)] {
      let autoencoder = try saeLens("{\"normalize_activations\": \(stated)}").open()
      #expect(autoencoder.warnings.count == count, "\(stated)")
      guard case .none = autoencoder.parameters.inputNormalization else { throw Unexpected() }
    }
    #expect(try refusal(saeLens("{\"normalize_activations\": \"other\"}")).contains("found other"))
  }

  @Test func finetunedScalingFactors() throws {
    let factors: Change = { $0["scaling_factor"] = .floats([6]) { Float($0 + 1) } }
    let used = try saeLens("{\"finetuning_scaling_factor\": true}", factors).open()
    #expect(used.parameters.decoderFactors == [1, 2, 3, 4, 5, 6] && used.parameters.preactivationFactors == nil)
    for stated in ["{\"finetuning_scaling_factor\": false}", "{}"] {
      #expect(try refusal(saeLens(stated, factors)).contains("finetuning_scaling_factor: expected true"))
    }
    let version6 = "\"architecture\": \"standard\", \"metadata\": {\"sae_lens_version\": \"6.1.0\"}"
    #expect(
      try refusal(saeLens("{\"finetuning_scaling_factor\": true, \(version6)}", factors)).contains("from SAELens 6"))
    let ones = try saeLens("{\"finetuning_scaling_factor\": true}") { $0["scaling_factor"] = .floats([6]) { _ in 1 } }
    #expect(try ones.open().parameters.decoderFactors == nil)
  }

  @Test func thresholdsByTheirLogarithms() throws {
    let folder = try saeLens("{\"architecture\": \"jumprelu\"}") { $0["log_threshold"] = .floats([6]) { _ in 0 } }
    guard case .thresholds(let thresholds) = try folder.open().parameters.activation else { throw Unexpected() }
    #expect(thresholds == [1, 1, 1, 1, 1, 1])
  }

  @Test func saeLensRefusals() throws {
    #expect(try refusal(saeLens(nil)).contains("expected a cfg.json"))
    for name in ["temporal", "matching_pursuit", "crosscoder"] {
      #expect(try refusal(saeLens("{\"architecture\": \"\(name)\"}")).contains("found \(name)"))
    }
    #expect(try refusal(saeLens("{\"reshape_activations\": \"other\"}")).contains("found other"))
    #expect(try refusal(saeLens("{\"architecture\": \"topk\"}")).contains("k: expected the number of active features"))
    #expect(try refusal(saeLens("{\"d_sae\": 7}")).contains("d_sae: expected 6, as the tensors have, found 7"))
    #expect(
      try refusal(saeLens("{\"architecture\": \"gated\"}") { $0["b_enc"] = nil }).contains("expected a tensor b_gate"))
    #expect(try refusal(saeLens("{}") { $0["W_dec"] = .floats([4, 6]) }).contains("transcoder"))
    #expect(try refusal(saeLens(nil) { $0["W_enc"] = .floats([6, 4]) }).contains("transcoder"))
    #expect(
      try refusal(
        saeLens(nil) {
          $0["D"] = .floats([6, 4])
          $0["attn_layers.0.k_ctx.weight"] = .floats([4, 4])
        }
      ).contains("found a temporal one"))
  }

  @Test func transcodersOpenOnRequest() throws {
    var options = SparseAutoencoder.Options()
    options.acceptsTranscoders = true
    let folder = try saeLens("{\"architecture\": \"transcoder\"}")
    #expect(try refusal(folder).contains("found a transcoder (transcoder)"))
    let transcoder = try folder.open(options: options)
    #expect(transcoder.isTranscoder && transcoder.parameters.inputBias == nil)
    #expect(throws: Failure.self) { try transcoder.check(width: 4) }
    for configuration in ["{\"k\": 2, \"transcode\": true}", "{\"k\": 2, \"skip_connection\": true}"] {
      #expect(try refusal(sparsify(configuration)).contains("found a transcoder"))
      #expect(try sparsify(configuration).open(options: options).parameters.inputBias == nil)
    }
  }

  @Test func sparsifyConfigurations() throws {
    let eight: Change = {
      $0["encoder.weight"] = .floats([8, 4])
      $0["encoder.bias"] = .floats([8])
      $0["W_dec"] = .floats([8, 4])
    }
    let expanded = try sparsify("{\"k\": 2, \"num_latents\": 0, \"expansion_factor\": 2}", eight).open()
    #expect(expanded.k == 2 && expanded.parameters.inputBias != nil)
    #expect(
      try refusal(sparsify("{\"k\": 2, \"expansion_factor\": 32}")).contains("expansion_factor: expected 6 features"))
    #expect(try refusal(sparsify("{\"k\": 2, \"d_in\": null}")).contains("d_in: expected the width"))
    #expect(try refusal(sparsify("{\"k\": 2, \"signed\": true}")).contains("signed: expected false"))
    #expect(try refusal(sparsify("{\"k\": 2, \"activation\": \"other\"}")).contains("found other"))
    #expect(try refusal(sparsify("{\"k\": 4, \"activation\": \"groupmax\"}")).contains("a divisor of 6"))
    #expect(try refusal(sparsify("{\"k\": 2, \"num_latents\": 7}")).contains("num_latents: expected 6"))
    #expect(try refusal(sparsify("{}")).contains("k: expected the number of active features"))
    #expect(try refusal(sparsify(nil)).contains("expected a cfg.json"))
  }

  @Test func gemmaScope2() throws {
    let tensors: [String: WrittenTensor] = [
      "w_enc": .floats([4, 6]), "w_dec": .floats([6, 4]), "b_enc": .floats([6]), "b_dec": .floats([4]),
      "threshold": .floats([6]) { _ in 0.5 },
    ]
    let folder = try AutoencoderFolder(safetensors: tensors, named: "params.safetensors")
    let autoencoder = try folder.open()
    #expect(autoencoder.format == .gemmaScope && autoencoder.parameters.inputBias == nil)
    var skipping = tensors
    skipping["affine_skip_connection"] = .floats([4, 4])
    #expect(
      try refusal(AutoencoderFolder(safetensors: skipping, named: "params.safetensors"))
        .contains("found a transcoder (Gemma Scope 2, affine)"))
    var acrossLayers = tensors
    acrossLayers["w_dec"] = .floats([6, 3, 4])
    #expect(
      try refusal(AutoencoderFolder(safetensors: acrossLayers, named: "params.safetensors"))
        .contains("found a cross-layer transcoder"))
  }

  /// An entry that says where the output goes is in every configuration of the release.
  @Test(arguments: [
    ("\"hf_hook_point_in\": \"model.layers.1.output\", \"hf_hook_point_out\": \"model.layers.1.output\"", nil),
    ("\"hf_hook_point_in\": \"a.input\", \"hf_hook_point_out\": \"b.output\"", "found a transcoder"),
    ("\"type\": \"sae\", \"affine_connection\": false", nil), ("\"type\": \"transcoder\"", "found a transcoder"),
    ("\"affine_connection\": true", "found a transcoder"),
    ("\"architecture\": \"top_k\"", "architecture: expected jump_relu, found top_k"),
  ]) func gemmaScope2Configurations(_ entries: String, _ refused: String?) throws {
    let tensors: [String: WrittenTensor] = [
      "w_enc": .floats([4, 6]), "w_dec": .floats([6, 4]), "b_enc": .floats([6]), "b_dec": .floats([4]),
      "threshold": .floats([6]) { _ in 0.5 },
    ]
    let folder = try AutoencoderFolder(safetensors: tensors, named: "params.safetensors")
    let stated = entries.contains("architecture") ? entries : "\"architecture\": \"jump_relu\", \(entries)"
    try Data("{\(stated)}".utf8).write(to: folder.folder.url("config.json"))
    if let refused { #expect(try refusal(folder).contains(refused)) } else { _ = try folder.open() }
  }

  private static let ofLlamaScope: [String: WrittenTensor] = [
    "encoder.weight": .floats([6, 4]), "encoder.bias": .floats([6]), "decoder.weight": .floats([4, 6]),
    "decoder.bias": .floats([4]),
  ]

  @Test(arguments: [
    ("", nil), ("\"norm_activation\": \"token-wise\"", "norm_activation: expected dataset-wise, found token-wise"),
    ("\"use_glu_encoder\": true", "use_glu_encoder: expected false"),
    ("\"apply_decoder_bias_to_pre_encoder\": true", "apply_decoder_bias_to_pre_encoder: expected false"),
    ("\"act_fn\": \"topk\"", "act_fn: expected jumprelu, found topk"),
    ("\"d_sae\": 7", "d_sae: expected 6"), ("\"d_model\": 7", "d_model: expected 4"),
    ("\"jump_relu_threshold\": null", "jump_relu_threshold: expected a number, found none"),
    ("\"dataset_average_activation_norm\": null", "expected a norm above 0"),
    ("\"dataset_average_activation_norm\": {\"in\": 0}", "expected a norm above 0"),
    ("\"hook_point_out\": \"blocks.1.hook_mlp_out\"", "found a transcoder"),
    ("\"hook_point_in\": null", "with hook_point_in"),
  ]) func llamaScopeConfigurations(_ entry: String, _ refused: String?) throws {
    let folder = try AutoencoderFolder(safetensors: Self.ofLlamaScope, named: "final.safetensors")
    let usual = [
      "\"hook_point_in\": \"blocks.1.hook_resid_post\"", "\"jump_relu_threshold\": 0.5",
      "\"dataset_average_activation_norm\": {\"in\": 4, \"out\": 4}",
    ]
    let key = entry.prefix { $0 != ":" }
    let entries = usual.filter { key.isEmpty || !$0.hasPrefix(key) } + (entry.isEmpty ? [] : [entry])
    try Data("{\(entries.joined(separator: ", "))}".utf8).write(to: folder.folder.url("hyperparams.json"))
    guard let refused else {
      let parameters = try folder.open().parameters
      guard case .fixed(0.5, false) = parameters.inputNormalization, case .threshold(0.25) = parameters.activation
      else {
        throw Unexpected()
      }
      return
    }
    #expect(try refusal(folder).contains(refused))
  }

  /// The norm is a tensor by the name of the place in files of later versions.
  @Test func theNormByThePlacesName() throws {
    var tensors = Self.ofLlamaScope
    tensors["log_jumprelu_threshold"] = .floats([6]) { _ in 0 }
    tensors["dataset_average_activation_norm.blocks.1.hook_resid_post"] = .floats([1]) { _ in 4 }
    let folder = try AutoencoderFolder(safetensors: tensors, named: "sae_weights.safetensors")
    try Data("{\"hook_point_in\": \"blocks.1.hook_resid_post\"}".utf8).write(to: folder.folder.url("config.json"))
    guard case .fixed(0.5, false) = try folder.open().parameters.inputNormalization else { throw Unexpected() }
  }

  /// Only models with LayerNorm were changed when TransformerLens was asked to take means out.
  @Test(arguments: [("gpt2-small", true), ("pythia-70m-deduped", true), ("gemma-2b", false), ("mistral-7b", false)])
  func centredStreams(_ model: String, _ isCentred: Bool) throws {
    let asked = "\"model_from_pretrained_kwargs\": {\"center_writing_weights\": true}, \"model_name\": \"\(model)\""
    let autoencoder = try saeLens("{\(asked)}").open()
    #expect(autoencoder.warnings.count == (isCentred ? 1 : 0))
    switch autoencoder.parameters.inputNormalization {
    case .fixed(1, true): #expect(isCentred)
    case .none: #expect(!isCentred)
    default: throw Unexpected()
    }
    #expect(
      try saeLens("{\(asked.replacing("true", with: "false"))}").open().warnings.isEmpty)
    if isCentred {
      #expect(
        try refusal(saeLens("{\(asked), \"normalize_activations\": \"constant_norm_rescale\"}"))
          .contains("for a centred residual stream"))
    }
  }

  /// What SAELens's list of published autoencoders adds to some repositories' files.
  @Test(arguments: [
    ("Mistral-7B-Residual-Stream-SAEs/mistral_7b_layer_8", "none", "constantNorm"),
    (
      "models--jbloom--GPT2-Small-SAEs-Reformatted/snapshots/0/blocks.8.hook_resid_pre", "none",
      "fixed(scale: 1.0, isCentred: true)"
    ),
    (
      "gpt2-small-mlp-out-saes/sae_group_gpt2_blocks.3.hook_mlp_out_24576:v0", "expected_average_only_in",
      "fixed(scale: 1.8958522157897557, isCentred: true)"
    ),
    ("gpt2-small-mlp-out-saes/other", "expected_average_only_in", "fixed(scale: 1.0, isCentred: true)"),
    ("Gemma-2b-Residual-Stream-SAEs/gemma_2b_blocks.12.hook_resid_post_16384", "none", "none"),
  ]) func publishedCorrections(_ folder: String, _ stated: String, _ expected: String) throws {
    let source = try saeLens("{\"normalize_activations\": \"\(stated)\"}")
    let target = try TemporaryFolder()
    try FileManager.default.createDirectory(at: target.url(folder), withIntermediateDirectories: true)
    for name in ["cfg.json", "sae_weights.safetensors"] {
      try FileManager.default.copyItem(atPath: source.folder.file(name), toPath: target.file("\(folder)/\(name)"))
    }
    let autoencoder = try SparseAutoencoder(target.file(folder))
    #expect("\(autoencoder.parameters.inputNormalization)" == expected)
    #expect(autoencoder.warnings.isEmpty == (expected == "none"))
  }
}
