import JSON
import SystemIO
import TensorOperations

/// Reads the `sae_weights.safetensors` and `cfg.json` of SAELens (sae_lens 6.54.12, saes/*.py), versions 5 and 6.
func readSAELens(_ source: Source) throws -> Parts {
  if let encoder = source.weights.tensors["W_enc"]?.shape, let decoder = source.weights.tensors["W_dec"]?.shape,
    encoder == decoder, encoder.count == 2, encoder[0] != encoder[1]
  {
    throw Failure(
      .malformed, "expected an autoencoder, found a transcoder: W_enc and W_dec have the same shape \(encoder)")
  }
  guard let configuration = source.configuration else {
    throw Failure(.malformed, "expected a cfg.json beside it to tell the architecture, found none")
  }
  var reader = SAELensReader(source, configuration)
  return try reader.read()
}

private struct SAELensReader {
  let source: Source
  let weights: Weights
  let configuration: JSON
  /// Version 6 keeps where the autoencoder comes from apart; version 5 is flat.
  let metadata: JSON
  var warnings: [String] = []

  init(_ source: Source, _ configuration: JSON) {
    self.source = source
    weights = source.weights
    self.configuration = configuration
    metadata = configuration["metadata"] ?? configuration
  }

  mutating func read() throws -> Parts {
    let architecture = try architecture()
    let isTranscoder = architecture.contains("transcoder")
    if let reshape = configuration["reshape_activations"]?.text, reshape != "none" {
      throw Failure(.malformed, "reshape_activations: expected none, found \(reshape): of attention heads")
    }
    let encoder = try weights.matrix("W_enc")
    let decoder = try weights.matrix("W_dec")
    try source.check("d_in", in: configuration, equals: encoder.rows)
    try source.check("d_sae", in: configuration, equals: encoder.columns)
    let factors = try factors(architecture, decoder)
    let subtractsBias = configuration["apply_b_dec_to_input"]?.boolean ?? !isTranscoder
    let computation = try Computation(
      inputNormalization: normalization(), inputBias: subtractsBias ? weights.vector("b_dec") : nil, encoder: encoder,
      encoderBias: architecture == "gated" ? nil : weights.vector("b_enc"),
      preactivationFactors: factors?.preactivation, activation: activation(architecture),
      decoderFactors: scalingFactors() ?? factors?.decoder, decoder: decoder, outputBias: weights.vector("b_dec"))
    let site = (metadata["hook_name"] ?? metadata["hook_point"])?.text
    return Parts(
      format: .saeLens, className: architecture, computation: computation, k: knownK(),
      provenance: .init(
        modelName: metadata["model_name"]?.text,
        layer: (metadata["hook_layer"] ?? metadata["hook_point_layer"])?.int, site: site),
      warnings: warnings, isTranscoder: isTranscoder)
  }

  /// The architecture, also where version 5 calls a top-k autoencoder a standard one (SAELens issue 553).
  private func architecture() throws -> String {
    let stated = configuration["architecture"]?.text ?? "standard"
    let function = (configuration["activation_fn_str"] ?? configuration["activation_fn"])?.text ?? "relu"
    switch (stated, function) {
    case ("standard", "topk"): return "topk"
    case ("standard", "relu"): return stated
    case ("standard", _):
      throw Failure(.malformed, "activation_fn_str: expected relu or topk, found \(function)")
    case ("temporal", _), ("matching_pursuit", _):
      throw Failure(.malformed, "architecture: expected one that encodes by one matrix, found \(stated)")
    default: return stated
    }
  }

  private func activation(_ architecture: String) throws -> Activation {
    switch architecture {
    case "standard", "transcoder", "skip_transcoder": return .relu
    case "jumprelu", "jumprelu_transcoder", "jumprelu_skip_transcoder":
      // Training checkpoints of before mid-2026 hold the logarithm.
      if !weights.has("threshold"), let logarithms = try weights.vectorIfPresent("log_threshold") {
        return .thresholds(exponentials(logarithms))
      }
      return .thresholds(try weights.vector("threshold"))
    case "topk": return .topK(try requiredK())
    case "abstopk": return .topMagnitudes(try requiredK())
    case "batchtopk", "matryoshka_batchtopk":
      guard let threshold = try weights.scalar("topk_threshold"), threshold.isFinite else {
        throw Failure(.malformed, "topk_threshold: expected a number, found none")
      }
      return .threshold(Float(threshold))
    case "gated":
      return .gated(
        gateBias: try weights.vector("b_gate"), magnitudeFactors: exponentials(try weights.vector("r_mag")),
        magnitudeBias: try weights.vector("b_mag"))
    default:
      throw Failure(.malformed, "architecture: expected a known one, such as jumprelu, found \(architecture)")
    }
  }

  /// The k of the configuration, which a batch top-k autoencoder saved as jumprelu keeps among its training's.
  private func knownK() -> Int? {
    configuration["k"]?.int ?? configuration["activation_fn_kwargs"]?["k"]?.int
      ?? metadata["training_architecture_details"]?["k"]?.int ?? source.options.k
  }

  private func requiredK() throws -> Int {
    guard let k = knownK() else { throw Failure(.malformed, "k: expected it in cfg.json, found none") }
    return k
  }

  /// Top-k picks among preactivations scaled by the decoder's norms where the configuration says so.
  private mutating func factors(
    _ architecture: String, _ decoder: MatrixView
  ) throws -> (preactivation: [Float], decoder: [Float])? {
    guard ["topk", "abstopk", "batchtopk", "matryoshka_batchtopk"].contains(architecture),
      configuration["rescale_acts_by_decoder_norm"]?.boolean == true
    else { return nil }
    let (factors, _, zeros) = try unitNormFactors(decoder)
    if zeros > 0 { warnings.append("decoder norms: \(zeros) are 0, and their features are left as they are") }
    return factors
  }

  /// Version 5 could train factors on the features' way to the decoder afterwards.
  private mutating func scalingFactors() throws -> [Float]? {
    guard let factors = try weights.vectorIfPresent("scaling_factor"), factors.contains(where: { $0 != 1 }) else {
      return nil
    }
    guard configuration["finetuning_scaling_factor"]?.boolean == true else {
      warnings.append("scaling_factor: not used, as finetuning_scaling_factor is not true")
      return nil
    }
    return factors
  }

  private mutating func normalization() throws -> InputNormalization {
    let stated = configuration["normalize_activations"]
    let name =
      stated?.text ?? stated?.boolean.map { $0 ? "expected_average_only_in" : "none" } ?? "none"
    switch name {
    case "none": return .none
    case "layer_norm": return .layerNorm
    case "constant_norm_rescale": return .constantNorm
    case "expected_average_only_in", "covariance_whitening":
      // Their scale is folded into the weights before saving, and nothing in the file tells whether it was.
      warnings.append("normalize_activations \(name): taken to be folded into the weights, as SAELens does")
      return .none
    default:
      throw Failure(.malformed, "normalize_activations: expected a known one, such as layer_norm, found \(name)")
    }
  }
}
