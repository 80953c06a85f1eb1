import SystemIO
import TensorOperations

/// Reads the `sae.safetensors` and `cfg.json` of EleutherAI's sparsify (eai-sparsify 1.3.3, sparse_coder.py).
func readSparsify(_ source: Source) throws -> Parts {
  let weights = source.weights
  guard let configuration = source.configuration else {
    throw Failure(.malformed, "expected a cfg.json beside it, found none")
  }
  if configuration["signed"]?.boolean == true {
    throw Failure(.malformed, "signed: expected false, found true, which only the sparsify of summer 2024 can read")
  }
  let encoder = try weights.matrix("encoder.weight", transposed: true)
  try source.check("d_in", in: configuration, equals: encoder.rows)
  try source.check("num_latents", in: configuration, equals: encoder.columns)
  guard let k = configuration["k"]?.int else { throw Failure(.malformed, "k: expected it in cfg.json, found none") }
  let activation: Activation
  switch configuration["activation"]?.text ?? "topk" {
  case "topk": activation = .topK(k)
  case "groupmax": activation = .groupMax(groups: k)
  case let other: throw Failure(.malformed, "activation: expected topk or groupmax, found \(other)")
  }
  // A skip connection goes past the features, and so past their gradients, but what it leads to is no autoencoder.
  let isTranscoder =
    configuration["transcode"]?.boolean == true || configuration["skip_connection"]?.boolean == true
    || weights.has("W_skip")
  let outputBias = try weights.vector("b_dec")
  let computation = try Computation(
    inputBias: isTranscoder ? nil : outputBias, encoder: encoder, encoderBias: weights.vector("encoder.bias"),
    activation: activation, decoder: weights.matrix("W_dec"), outputBias: outputBias)
  // The folder is named for the place: layers.3.mlp.
  let site = weights.path.split(separator: "/").dropLast().last.map(String.init)
    .flatMap { SparseAutoencoder.Provenance.layerNumber($0) == nil ? nil : $0 }
  return Parts(
    format: .sparsify, className: isTranscoder ? "SparseCoder, transcode" : "SparseCoder", computation: computation,
    k: k, provenance: .init(site: site), isTranscoder: isTranscoder)
}
