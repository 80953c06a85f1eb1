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
    #expect(try refusal(saeLens("{\"reshape_activations\": \"hook_z\"}")).contains("hook_z"))
    #expect(try refusal(saeLens("{\"architecture\": \"topk\"}")).contains("k: expected the number of active features"))
    #expect(try refusal(saeLens("{\"d_sae\": 7}")).contains("d_sae: expected 6, as the tensors have, found 7"))
    #expect(
      try refusal(saeLens("{\"architecture\": \"gated\"}") { $0["b_enc"] = nil }).contains("expected a tensor b_gate"))
    #expect(try refusal(saeLens("{}") { $0["W_dec"] = .floats([4, 6]) }).contains("transcoder"))
    #expect(try refusal(saeLens(nil) { $0["W_enc"] = .floats([6, 4]) }).contains("transcoder"))
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
      try refusal(AutoencoderFolder(safetensors: skipping, named: "params.safetensors")).contains("found a transcoder"))
  }
}
