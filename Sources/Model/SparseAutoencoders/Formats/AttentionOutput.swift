import SystemIO

/// The `NAME_cfg.json` of a `NAME.pt` of ckkissane/attention-output-saes; nil beside files of other programs. Without
/// it the tensors cannot be told from Qwen-Scope's, which are theirs transposed.
func attentionOutputConfiguration(_ saved: SavedAutoencoder) throws -> Configuration? {
  guard let path = saved.files.namedConfiguration else { return nil }
  let configuration = try Configuration(path: path)
  return configuration.has("act_size") && configuration.has("dict_size") ? configuration : nil
}

/// Reads the autoencoders of attention heads' outputs, side by side, as SAELens's loader does (connor_rob_hook_z):
/// relu((x − b_dec) · W_enc + b_enc).
func readAttentionOutput(_ saved: SavedAutoencoder, _ configuration: Configuration) throws -> AutoencoderDescription {
  let weights = saved.weights
  try weights.refuseTensors(other: ["W_enc", "W_dec", "b_enc", "b_dec"], of: "an autoencoder of attention outputs")
  let (encoder, bias) = (try weights.matrix("W_enc"), try weights.vector("b_dec"))
  try configuration.check("act_size", equals: encoder.rows)
  try configuration.check("dict_size", equals: encoder.columns)
  let parameters = try AutoencoderParameters(
    inputBias: bias, encoder: encoder, encoderBias: weights.vector("b_enc"), activation: .relu,
    decoder: weights.matrix("W_dec"), outputBias: bias)
  return AutoencoderDescription(
    format: .attentionOutput, className: "AutoEncoder", parameters: parameters,
    provenance: .init(
      modelName: configuration.description("model_name"), layer: configuration.layerNumber("layer"),
      site: configuration.description("act_name")),
    warnings: weights.unreadEntries(but: []))
}
