import SystemIO

/// The arrays of an `.npz` that are read; SAELens's loader takes the matrices under lower-case names too.
let gemmaScopeNames: Set<String> = [
  "W_enc", "W_dec", "w_enc", "w_dec", "b_enc", "b_dec", "threshold", "scaling_factor", "affine_skip_connection",
]

/// Reads the `params.npz` of Gemma Scope, and the `params.safetensors` of Gemma Scope 2 with the same names in lower
/// case. b_dec is not subtracted from the input. What else the file holds is left alone, as SAELens's loaders do.
func readGemmaScope(_ saved: SavedAutoencoder) throws -> AutoencoderDescription {
  let weights = saved.weights
  let isSecond = weights.container == .safetensors
  func name(_ name: String, _ lowerCase: String) -> String { weights.has(lowerCase) ? lowerCase : name }
  if let factors = try weights.vectorIfPresent("scaling_factor"), factors.contains(where: { abs($0 - 1) > 1e-5 }) {
    throw Failure(.malformed, "scaling_factor: expected none or ones, found factors that no format says the use of")
  }
  if weights.path.split(separator: "/").suffix(4).contains("embedding") {
    throw Failure(
      .malformed, "expected an autoencoder of a layer, found one of the embedding, whose matrices are scaled otherwise")
  }
  let configuration = isSecond ? try saved.configuration(named: "config.json") : nil
  // One without an architecture is somebody else's.
  if let architecture = try configuration?.text("architecture"), architecture != "jump_relu" {
    throw configuration!.wrong("architecture", "expected jump_relu, found \(architecture)")
  }
  let isTranscoder = try weights.has("affine_skip_connection") || configuration?.flag("affine_connection") == true
  let parameters = try AutoencoderParameters(
    inputBias: nil, encoder: weights.matrix(name("W_enc", "w_enc")), encoderBias: weights.vector("b_enc"),
    activation: .thresholds(weights.vector("threshold")), decoder: weights.matrix(name("W_dec", "w_dec")),
    outputBias: weights.vector("b_dec"))
  return AutoencoderDescription(
    format: .gemmaScope, className: isSecond ? "Gemma Scope 2" : "Gemma Scope", parameters: parameters,
    provenance: .init(
      modelName: configuration?.description("model_name"),
      site: configuration?.description("hf_hook_point_out") ?? configuration?.description("hf_hook_point_in")),
    isTranscoder: isTranscoder || configuration?.description("hf_hook_point_out") != nil)
}
