import SystemIO
import TensorFiles
import TensorOperations

/// Reads the `sae_weights.safetensors` and `cfg.json` of SAELens (sae_lens 6.54.12, saes/*.py), versions 5 and 6.
func readSAELens(_ saved: SavedAutoencoder) throws -> AutoencoderDescription {
  if saved.weights.has("D"), saved.weights.tensors.keys.contains(where: { $0.hasPrefix("attn_layers.") }) {
    throw Failure(
      .malformed,
      "expected an autoencoder that encodes every position on its own, found a temporal one, which attends to earlier positions"
    )
  }
  if let encoder = saved.weights.tensors["W_enc"]?.shape, let decoder = saved.weights.tensors["W_dec"]?.shape,
    encoder == decoder, encoder.count == 2, encoder[0] != encoder[1]
  {
    throw Failure(
      .malformed, "expected an autoencoder, found a transcoder: W_enc and W_dec have the same shape \(encoder)")
  }
  var reader = try SAELensReader(saved, saved.requiredConfiguration(named: "cfg.json", of: "SAELens"))
  return try reader.read()
}

private struct SAELensReader {
  let saved: SavedAutoencoder
  let weights: Weights
  let configuration: Configuration
  /// Version 6 keeps where the autoencoder comes from apart; version 5 is flat.
  let metadata: Configuration
  /// What is known of it from elsewhere.
  let corrections: PublishedCorrections?
  var warnings: [String] = []

  init(_ saved: SavedAutoencoder, _ configuration: Configuration) throws {
    self.saved = saved
    weights = saved.weights
    self.configuration = configuration
    metadata = try configuration.object("metadata") ?? configuration
    corrections = PublishedCorrections.inPath(weights.path)
  }

  mutating func read() throws -> AutoencoderDescription {
    let architecture = try architecture()
    let isTranscoder = architecture.contains("transcoder")
    // Heads' outputs stand side by side here as well.
    if let reshape = try configuration.text("reshape_activations"), !["none", "hook_z"].contains(reshape) {
      throw configuration.wrong("reshape_activations", "expected none or hook_z, found \(reshape)")
    }
    let factorNames: Set = ["scaling_factor"]
    try weights.refuseTensors(other: try tensorNames(architecture).union(factorNames), of: "SAELens's \(architecture)")
    let encoder = try weights.matrix("W_enc")
    let decoder = try weights.matrix("W_dec")
    for (key, size) in [("d_in", encoder.rows), ("d_sae", encoder.columns)] {
      guard configuration.has(key) else {
        throw configuration.wrong(key, "expected it, as SAELens writes it, found none: is it another program's?")
      }
      try configuration.check(key, equals: size)
    }
    let factors = try factors(architecture, decoder)
    let subtractsBias = try configuration.flag("apply_b_dec_to_input") ?? !isTranscoder
    let parameters = try AutoencoderParameters(
      inputNormalization: normalization(), inputBias: subtractsBias ? weights.vector("b_dec") : nil, encoder: encoder,
      encoderBias: architecture == "gated" ? nil : weights.vector("b_enc"),
      preactivationFactors: factors?.preactivation, activation: activation(architecture),
      decoderFactors: scalingFactors() ?? factors?.decoder, decoder: decoder, outputBias: weights.vector("b_dec"))
    let knownK = try knownK(architecture)
    return AutoencoderDescription(
      format: .saeLens, className: architecture, parameters: parameters, k: knownK ?? givenK(architecture),
      usesGivenK: knownK == nil && givenK(architecture) != nil,
      provenance: .init(
        modelName: metadata.description("model_name"),
        layer: metadata.layerNumber("hook_layer") ?? metadata.layerNumber("hook_point_layer"),
        site: metadata.description("hook_name") ?? metadata.description("hook_point"),
        isOneHead: (metadata["hook_head_index"] ?? metadata["hook_point_head_index"])?.int != nil),
      warnings: warnings, isTranscoder: isTranscoder)
  }

  /// Whether a version that knows no `activation_fn` wrote it: 6.0.0 or later.
  private func isVersion6() throws -> Bool {
    let version = try configuration.text("sae_lens_version") ?? metadata.text("sae_lens_version")
    return version.flatMap { Int($0.prefix { $0.isNumber }) }.map { $0 >= 6 } ?? false
  }

  /// The architecture, also where version 5 calls a top-k autoencoder a standard one (SAELens issue 553).
  private func architecture() throws -> String {
    let key = configuration.has("activation_fn_str") ? "activation_fn_str" : "activation_fn"
    let function = try configuration.text(key) ?? "relu"
    guard let stated = try configuration.text("architecture") ?? (isVersion6() ? nil : "standard") else {
      throw configuration.wrong("architecture", "expected one, as SAELens 6 writes it, found none")
    }
    guard !["temporal", "matching_pursuit"].contains(stated) else {
      throw configuration.wrong("architecture", "expected one that encodes by one matrix, found \(stated)")
    }
    switch function {
    case "relu": return stated
    case "topk" where stated == "topk": return stated
    case "topk" where try !isVersion6(): return "topk"
    case "topk":
      throw configuration.wrong(key, "expected none beside the architecture \(stated) of SAELens 6, found topk")
    default: throw configuration.wrong(key, "expected relu or topk, found \(function)")
    }
  }

  /// The parameters of an architecture's class, `scaling_factor` apart.
  private func tensorNames(_ architecture: String) throws -> Set<String> {
    let names: Set = ["W_enc", "W_dec", "b_dec"]
    switch architecture {
    case "standard", "topk", "abstopk", "transcoder": return names.union(["b_enc"])
    case "skip_transcoder": return names.union(["b_enc", "W_skip"])
    case "jumprelu", "jumprelu_transcoder": return names.union(["b_enc", thresholdName])
    case "jumprelu_skip_transcoder": return names.union(["b_enc", thresholdName, "W_skip"])
    case "batchtopk", "matryoshka_batchtopk": return names.union(["b_enc", "topk_threshold"])
    case "gated": return names.union(["b_gate", "r_mag", "b_mag"])
    default:
      throw configuration.wrong("architecture", "expected a known one, such as jumprelu, found \(architecture)")
    }
  }

  /// Training checkpoints of before mid-2026 hold the logarithm.
  private var thresholdName: String {
    weights.has("log_threshold") && !weights.has("threshold") ? "log_threshold" : "threshold"
  }

  private func activation(_ architecture: String) throws -> Activation {
    switch architecture {
    case "standard", "transcoder", "skip_transcoder": return .relu
    case "jumprelu", "jumprelu_transcoder", "jumprelu_skip_transcoder":
      let stored = try weights.vector(thresholdName)
      return .thresholds(thresholdName == "threshold" ? stored : exponentials(stored))
    case "topk": return .topK(try requiredK(architecture))
    case "abstopk": return .topMagnitudes(try requiredK(architecture))
    case "batchtopk", "matryoshka_batchtopk":
      guard let threshold = try weights.scalar("topk_threshold"), threshold.isFinite else {
        throw Failure(.malformed, "topk_threshold: expected a number, found none")
      }
      return .threshold(Float(threshold))
    case "gated":
      return .gated(
        gateBias: try weights.vector("b_gate"), magnitudeFactors: exponentials(try weights.vector("r_mag")),
        magnitudeBias: try weights.vector("b_mag"))
    default: preconditionFailure("\(architecture) has no tensors")
    }
  }

  /// The k of the configuration, which a batch top-k autoencoder saved as jumprelu keeps among its training's.
  private func knownK(_ architecture: String) throws -> Int? {
    // Elsewhere it only tells of the training, and may be an average.
    guard usesK(architecture) else {
      let details = try metadata.object("training_architecture_details")
      return (configuration["k"] ?? details?["k"])?.number.flatMap(Int.init(exactly:))
    }
    if let k = try configuration.whole("k") { return k }
    guard let arguments = try configuration.object("activation_fn_kwargs") else { return nil }
    if let other = arguments.keys.first(where: { $0 != "k" }), try arguments.flag(other) != false {
      throw arguments.wrong(other, "expected k alone, found an argument that changes the activation")
    }
    return try arguments.whole("k")
  }

  private func usesK(_ architecture: String) -> Bool { ["topk", "abstopk"].contains(architecture) }

  /// The k of the options, for an architecture whose features depend on one.
  private func givenK(_ architecture: String) -> Int? {
    usesK(architecture) ? saved.options.k : nil
  }

  private func requiredK(_ architecture: String) throws -> Int {
    guard let k = try knownK(architecture) ?? givenK(architecture) else {
      throw configuration.wrong("k", "expected the number of active features, found none")
    }
    return k
  }

  /// Top-k picks among preactivations scaled by the decoder's norms where the configuration says so.
  private mutating func factors(
    _ architecture: String, _ decoder: StoredTensor
  ) throws -> (preactivation: [Float], decoder: [Float])? {
    guard ["topk", "abstopk", "batchtopk", "matryoshka_batchtopk"].contains(architecture),
      try configuration.flag("rescale_acts_by_decoder_norm") == true
    else { return nil }
    let (factors, _, zeros) = try unitNormFactors(decoder)
    if zeros > 0 { warnings.append("decoder norms: \(zeros) are 0, and their features are not rescaled") }
    return factors
  }

  /// Version 5 could train factors on the features' way to the decoder afterwards. It wrote ones otherwise for a time.
  private func scalingFactors() throws -> [Float]? {
    guard let factors = try weights.vectorIfPresent("scaling_factor"),
      factors.contains(where: { abs($0 - 1) > 1e-8 + 1e-5 })
    else { return nil }
    guard try configuration.flag("finetuning_scaling_factor") == true else {
      throw configuration.wrong(
        "finetuning_scaling_factor", "expected true beside a tensor scaling_factor, found false")
    }
    guard try !isVersion6() else {
      throw weights.wrong(
        "scaling_factor", "expected none or ones from SAELens 6, which has no use for it, found others")
    }
    return factors
  }

  private mutating func normalization() throws -> InputNormalization {
    let key = "normalize_activations"
    let isCentred = try isCentred()
    let name: String
    if let known = corrections?.normalization {
      name = known
      warnings.append("normalize_activations \(known): by SAELens's list of what is published")
    } else if let flag = configuration[key]?.boolean {
      name = flag ? "expected_average_only_in" : "none"
    } else {
      name = try configuration.text(key) ?? "none"
    }
    let asStored = isCentred ? InputNormalization.fixed(scale: 1, isCentred: true) : .none
    switch name {
    case "none": return asStored
    case "layer_norm": return .layerNorm
    case "constant_norm_rescale" where isCentred:
      throw configuration.wrong(key, "expected none or an average for a centred residual stream, found \(name)")
    case "constant_norm_rescale": return .constantNorm
    case "expected_average_only_in", "covariance_whitening":
      let folder = weights.path.split(separator: "/").dropLast().last.map(String.init) ?? ""
      if let scale = corrections?.scales[folder], name == "expected_average_only_in" {
        warnings.append("activations are multiplied by \(short(scale)): by SAELens's list of what is published")
        return .fixed(scale: scale, isCentred: isCentred)
      }
      // Their scale is folded into the weights before saving, and nothing in the file tells whether it was.
      warnings.append("normalize_activations \(name): taken to be folded into the weights, as SAELens does")
      return asStored
    default: throw configuration.wrong(key, "expected a known one, such as layer_norm, found \(name)")
    }
  }

  /// Whether the activations that it was trained on had their mean taken out. TransformerLens does that to models with
  /// LayerNorm alone, so that it is no matter what is asked for of others.
  private mutating func isCentred() throws -> Bool {
    let key = "model_from_pretrained_kwargs"
    let isStated = try metadata.object(key)?.flag("center_writing_weights") == true
    guard isStated || corrections?.isCentred == true else { return false }
    let model = (metadata.description("model_name") ?? "").lowercased()
    guard corrections?.isCentred == true || ["gpt2", "pythia", "neox", "gpt-neo"].contains(where: model.contains) else {
      return false
    }
    warnings.append(
      "the mean is subtracted from each activation, as from the residual stream that it was trained on "
        + "(center_writing_weights), and added back")
    return true
  }
}
