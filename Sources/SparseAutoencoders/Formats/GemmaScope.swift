import SystemIO

/// Reads the `params.npz` of Gemma Scope, and the `params.safetensors` of Gemma Scope 2 with the same names in lower
/// case. b_dec is not subtracted from the input.
func readGemmaScope(_ source: Source) throws -> Parts {
  let weights = source.weights
  let isSecond = weights.container == .safetensors
  let (encoder, decoder) = isSecond ? ("w_enc", "w_dec") : ("W_enc", "W_dec")
  let isTranscoder = weights.has("affine_skip_connection")
  let computation = try Computation(
    inputBias: nil, encoder: weights.matrix(encoder), encoderBias: weights.vector("b_enc"),
    activation: .thresholds(weights.vector("threshold")), decoder: weights.matrix(decoder),
    outputBias: weights.vector("b_dec"))
  return Parts(
    format: .gemmaScope, className: isSecond ? "Gemma Scope 2" : "Gemma Scope", computation: computation,
    isTranscoder: isTranscoder)
}
