import SystemIO
import TensorOperations

/// Reads the autoencoders of Llama Scope and of its distilled-R1 successor (fnlp's Language-Model-SAEs) as SAELens's
/// loaders do. Activations are scaled by c = √D / their average norm: s = c · x, f = s · W_enc + b_enc where that is
/// above the threshold, x̂ = (f · W_dec + b_dec) / c.
///
/// Llama Scope has a `hyperparams.json` with one threshold, which is of unscaled features and so scaled by c too; the
/// successor a `config.json` and the logarithm of a threshold for each feature, which is taken as it is.
func readLlamaScope(_ saved: SavedAutoencoder) throws -> AutoencoderDescription {
  let weights = saved.weights
  let found = try saved.configuration(named: "hyperparams.json") ?? saved.configuration(named: "config.json")
  guard let configuration = found, configuration.description("hook_point_in") != nil else {
    throw Failure(
      .malformed,
      "expected a hyperparams.json or config.json with hook_point_in, as Llama Scope has them, "
        + "found \(found == nil ? "none" : "one without it")")
  }
  let normNames = Set(weights.tensors.keys.filter { $0.hasPrefix(averageNorm + ".") })
  let hasThresholds = weights.has("log_jumprelu_threshold")
  try weights.refuseTensors(
    other: normNames.union(["encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"])
      .union(hasThresholds ? ["log_jumprelu_threshold"] : []),
    of: "Llama Scope")
  for key in ["use_glu_encoder", "apply_decoder_bias_to_pre_encoder"] where try configuration.flag(key) == true {
    throw configuration.wrong(key, "expected false, found true, which SAELens's loader has no use for")
  }
  if let activation = try configuration.text("act_fn"), activation.lowercased() != "jumprelu" {
    throw configuration.wrong("act_fn", "expected jumprelu, found \(activation)")
  }
  let encoder = try weights.matrix("encoder.weight", transposed: true)
  try configuration.check("d_model", equals: encoder.rows)
  try configuration.check("d_sae", equals: encoder.columns)
  let scale = try Double(encoder.rows).squareRoot() / averageNorm(weights, configuration)
  let activation: Activation
  if hasThresholds {
    activation = .thresholds(exponentials(try weights.vector("log_jumprelu_threshold")))
  } else {
    guard let threshold = configuration["jump_relu_threshold"]?.number, threshold.isFinite else {
      throw configuration.wrong("jump_relu_threshold", "expected a number, found none")
    }
    activation = .threshold(Float(threshold * scale))
  }
  let parameters = try AutoencoderParameters(
    inputNormalization: .fixed(scale: scale, isCentred: false), inputBias: nil, encoder: encoder,
    encoderBias: weights.vector("encoder.bias"), activation: activation,
    decoder: weights.matrix("decoder.weight", transposed: true), outputBias: weights.vector("decoder.bias"))
  let (input, output) = (configuration.description("hook_point_in"), configuration.description("hook_point_out"))
  let isTranscoder = output != nil && output != input
  return AutoencoderDescription(
    format: .llamaScope, className: isTranscoder ? "transcoder" : "JumpReLU", parameters: parameters,
    k: configuration["top_k"]?.int,
    provenance: .init(modelName: configuration.description("model_name"), site: isTranscoder ? output : input),
    isTranscoder: isTranscoder, hasUnitDecoder: true)
}

private let averageNorm = "dataset_average_activation_norm"

/// The average norm of the activations that it was trained on: Llama Scope's configuration has it, its successor's
/// file of tensors, by the name of the place or as `in`.
private func averageNorm(_ weights: Weights, _ configuration: Configuration) throws -> Double {
  if let kind = try configuration.text("norm_activation"), kind != "dataset-wise" {
    throw configuration.wrong("norm_activation", "expected dataset-wise, found \(kind)")
  }
  let places = ["in", configuration.description("hook_point_in") ?? "in"]
  let norms = try configuration.object(averageNorm)
  let stated = places.lazy.compactMap { norms?[$0]?.number }.first
  let stored = try places.lazy.compactMap { try weights.scalar("\(averageNorm).\($0)") }.first
  guard let norm = stated ?? stored, norm.isFinite, norm > 0 else {
    throw configuration.wrong(
      averageNorm, "expected a norm above 0 here or in the file of the tensors, without which nothing can be encoded")
  }
  return norm
}
