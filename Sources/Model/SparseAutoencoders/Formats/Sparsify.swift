import SystemIO
import TensorOperations

/// Reads the `sae.safetensors` and `cfg.json` of EleutherAI's sparsify (eai-sparsify 1.3.3, sparse_coder.py).
func readSparsify(_ saved: SavedAutoencoder) throws -> AutoencoderDescription {
  let weights = saved.weights
  let configuration = try saved.requiredConfiguration(named: "cfg.json", of: "sparsify")
  if try configuration.flag("signed") == true {
    throw configuration.wrong("signed", "expected false, found true, which only the sparsify of summer 2024 can read")
  }
  guard let width = try configuration.whole("d_in") else {
    throw configuration.wrong("d_in", "expected the width, as sparsify writes it, found none: is it another program's?")
  }
  guard let k = try configuration.whole("k") else {
    throw configuration.wrong("k", "expected the number of active features, found none")
  }
  let activation: Activation
  switch try configuration.text("activation") ?? "topk" {
  case "topk": activation = .topK(k)
  case "groupmax": activation = .groupMax(groups: k)
  case let other: throw configuration.wrong("activation", "expected topk or groupmax, found \(other)")
  }
  // A skip connection goes past the features, and so past their gradients, but what it leads to is no autoencoder.
  let (transcodes, skips) = (
    try configuration.flag("transcode") ?? false, try configuration.flag("skip_connection") ?? false
  )
  try weights.refuseTensors(
    other: Set(["encoder.weight", "encoder.bias", "W_dec", "b_dec"] + (skips ? ["W_skip"] : [])),
    of: "a SparseCoder \(skips ? "with" : "without") skip_connection")
  let encoder = try weights.matrix("encoder.weight", transposed: true)
  try configuration.check("d_in", equals: encoder.rows)
  if let features = try configuration.whole("num_latents"), features != 0 {
    try configuration.check("num_latents", equals: encoder.columns)
  } else if let factor = try configuration.whole("expansion_factor"),
    width.multipliedReportingOverflow(by: factor) != (encoder.columns, false)
  {
    throw configuration.wrong(
      "expansion_factor",
      "expected \(encoder.columns) features by \(width) inputs, as the tensors have, found \(factor)")
  }
  let isTranscoder = transcodes || skips
  let outputBias = try weights.vector("b_dec")
  let parameters = try AutoencoderParameters(
    inputBias: isTranscoder ? nil : outputBias, encoder: encoder, encoderBias: weights.vector("encoder.bias"),
    activation: activation, decoder: weights.matrix("W_dec"), outputBias: outputBias)
  // The folder is named for the place: layers.3.mlp.
  let site = weights.path.split(separator: "/").dropLast().last.map(String.init)
    .flatMap { SparseAutoencoder.Provenance.layerNumber($0) == nil ? nil : $0 }
  return AutoencoderDescription(
    format: .sparsify, className: isTranscoder ? "SparseCoder, transcode" : "SparseCoder", parameters: parameters,
    k: k, provenance: .init(site: site), isTranscoder: isTranscoder)
}
