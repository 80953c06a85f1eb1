import SystemIO

/// Whether a torch file has the tensors of Qwen-Scope: the names of dictionary_learning's JumpReLU and Matryoshka,
/// transposed, and no others.
func isQwenScope(_ saved: SavedAutoencoder) throws -> Bool {
  let weights = saved.weights
  return try Set(weights.tensors.keys) == ["W_enc", "W_dec", "b_enc", "b_dec"] && weights.otherTensors.isEmpty
    && saved.configuration(named: "config.json")?.has("trainer") != true
}

/// Reads a `layer{n}.sae.pt` of Qwen-Scope as SAELens's loader does: the k largest of x · W_encᵀ + b_enc, then relu.
func readQwenScope(_ saved: SavedAutoencoder) throws -> AutoencoderDescription {
  let weights = saved.weights
  // A k that is given stands in for one that the path has by chance.
  guard let k = try weights.integer("k") ?? saved.options.k ?? ReleaseName.topK(inPath: weights.path) else {
    throw Failure(
      .malformed,
      "k: expected it in the path, as the repositories have it (SAE-Res-…-W64K-L0_50), found none: the file has no k")
  }
  let parameters = try AutoencoderParameters(
    inputBias: nil, encoder: weights.matrix("W_enc", transposed: true), encoderBias: weights.vector("b_enc"),
    activation: .topK(k), decoder: weights.matrix("W_dec", transposed: true), outputBias: weights.vector("b_dec"))
  return AutoencoderDescription(
    format: .qwenScope, className: "TopK", parameters: parameters, k: k,
    usesGivenK: try weights.integer("k") == nil && saved.options.k != nil,
    provenance: .init(modelName: ReleaseName.model(inPath: weights.path)),
    warnings: weights.unreadEntries(but: ["k"]))
}
