import SystemIO

/// The arrays of an `.npz` that are read; SAELens's loader takes the matrices under lower-case names too.
let gemmaScopeNames: Set<String> = [
  "W_enc", "W_dec", "w_enc", "w_dec", "b_enc", "b_dec", "threshold", "scaling_factor", "affine_skip_connection",
]

/// Reads the `params.npz` of Gemma Scope, and the `params.safetensors` of Gemma Scope 2 with the same names in lower
/// case. b_dec is not subtracted from the input. What else the file holds is left alone, as SAELens's loaders do.
func readGemmaScope(_ saved: SavedAutoencoder) throws -> AutoencoderDescription {
  let weights = saved.weights
  func name(_ name: String, _ lowerCase: String) -> String { weights.has(lowerCase) ? lowerCase : name }
  let (encoderName, decoderName) = (name("W_enc", "w_enc"), name("W_dec", "w_dec"))
  if let factors = try weights.vectorIfPresent("scaling_factor"), factors.contains(where: { abs($0 - 1) > 1e-5 }) {
    throw Failure(.malformed, "scaling_factor: expected none or ones, found factors whose use no known format defines")
  }
  if let shape = weights.tensors[decoderName]?.shape, shape.count == 3 {
    throw Failure(
      .malformed, "expected an autoencoder, found a cross-layer transcoder: \(decoderName) has shape \(shape)")
  }
  let encoder = try weights.matrix(encoderName)
  let source = try weights.container == .safetensors ? secondSource(saved) : firstSource(weights.path)
  var encoderBias = try weights.vector("b_enc")
  var factors: (preactivation: [Float], decoder: [Float])?
  if source.isEmbedding {
    // It was trained on embeddings that the model has yet to multiply by √D. b_dec stays, as in SAELens's loader.
    let root = Double(encoder.rows).squareRoot()
    encoderBias = encoderBias.map { Float(Double($0) * root) }
    func all(_ factor: Double) -> [Float] { [Float](repeating: Float(factor), count: encoder.columns) }
    factors = (all(1 / root), all(root))
  }
  let parameters = try AutoencoderParameters(
    inputBias: nil, encoder: encoder, encoderBias: encoderBias, preactivationFactors: factors?.preactivation,
    activation: .thresholds(weights.vector("threshold")), decoderFactors: factors?.decoder,
    decoder: weights.matrix(decoderName), outputBias: weights.vector("b_dec"))
  let hasSkip = weights.has("affine_skip_connection")
  return AutoencoderDescription(
    format: .gemmaScope, className: hasSkip ? "\(source.name), affine" : source.name, parameters: parameters,
    k: source.l0 ?? ReleaseName.averageL0(inPath: weights.path), provenance: source.provenance,
    isTranscoder: source.isTranscoder || hasSkip)
}

private struct Source {
  let name: String
  var provenance = SparseAutoencoder.Provenance()
  var isTranscoder = false
  var isEmbedding = false
  var l0: Int?
}

/// Gemma Scope has no configuration. The repository's name says the model and the site, the folders the layer.
private func firstSource(_ path: String) -> Source {
  let isTranscoder = ReleaseName.repository(inPath: path) { $0.contains("transcoder") } != nil
  let isEmbedding = path.split(separator: "/").suffix(4).contains("embedding")
  let provenance = SparseAutoencoder.Provenance(
    modelName: ReleaseName.gemmaScope(inPath: path)?.model, layer: isEmbedding ? 0 : nil,
    site: isEmbedding ? "blocks.0.hook_resid_pre" : nil)
  return Source(name: "Gemma Scope", provenance: provenance, isTranscoder: isTranscoder, isEmbedding: isEmbedding)
}

/// Gemma Scope 2 has a configuration, though not everywhere; SAELens then goes by the folder's name. Its folder
/// `attn_out` is of what goes into the output projection.
private func secondSource(_ saved: SavedAutoencoder) throws -> Source {
  var source = Source(name: "Gemma Scope 2")
  let folders = saved.weights.path.split(separator: "/").dropLast().suffix(3)
  // One without an architecture is somebody else's.
  let found = try saved.configuration(named: "config.json")
  if let configuration = found, let architecture = try configuration.text("architecture") {
    guard architecture == "jump_relu" else {
      throw configuration.wrong("architecture", "expected jump_relu, found \(architecture)")
    }
    let input = configuration.description("hf_hook_point_in")
    let output = configuration.description("hf_hook_point_out")
    source.isTranscoder =
      try configuration.flag("affine_connection") == true || output != nil && output != input
      || configuration.description("type").map { $0 != "sae" } == true
    source.provenance.site = source.isTranscoder ? output ?? input : input
    source.provenance.modelName = configuration.description("model_name").map(ReleaseName.gemma3)
    source.l0 = configuration["l0"]?.number.flatMap(Int.init(exactly:))
  }
  if folders.contains(where: { $0.hasPrefix("transcoder") || $0.hasPrefix("clt") }) { source.isTranscoder = true }
  if source.provenance.site == nil, folders.contains(where: { $0 == "attn_out" || $0 == "attn_out_all" }) {
    source.provenance.site = "self_attn.o_proj.input"
  }
  return source
}
