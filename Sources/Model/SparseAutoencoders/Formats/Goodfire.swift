import SystemIO

/// Reads the `Llama-3.1-8B-Instruct-SAE-l19.pth` of Goodfire as SAELens's loader does: relu(x · W + b), without the
/// output's bias taken off the input.
func readGoodfire(_ saved: SavedAutoencoder) throws -> AutoencoderDescription {
  let weights = saved.weights
  try weights.refuseTensors(
    other: ["encoder_linear.weight", "encoder_linear.bias", "decoder_linear.weight", "decoder_linear.bias"],
    of: "Goodfire's autoencoder")
  let parameters = try AutoencoderParameters(
    inputBias: nil, encoder: weights.matrix("encoder_linear.weight", transposed: true),
    encoderBias: weights.vector("encoder_linear.bias"), activation: .relu,
    decoder: weights.matrix("decoder_linear.weight", transposed: true),
    outputBias: weights.vector("decoder_linear.bias"))
  return AutoencoderDescription(
    format: .goodfire, className: "SparseAutoEncoder", parameters: parameters,
    provenance: .init(modelName: ReleaseName.model(inPath: weights.path)), warnings: weights.unreadEntries(but: []))
}
