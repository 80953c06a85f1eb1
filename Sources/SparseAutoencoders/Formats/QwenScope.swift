import SystemIO

/// Whether a torch file has the tensors of Qwen-Scope: the names of dictionary_learning's JumpReLU and Matryoshka,
/// transposed, and no others.
func isQwenScope(_ source: Source) throws -> Bool {
  let weights = source.weights
  return try Set(weights.tensors.keys) == ["W_enc", "W_dec", "b_enc", "b_dec"] && weights.otherTensors.isEmpty
    && source.configuration(named: "config.json")?.has("trainer") != true
}

/// Reads a `layer{n}.sae.pt` of Qwen-Scope as SAELens's loader does: the k largest of x · W_encᵀ + b_enc, then relu.
func readQwenScope(_ source: Source) throws -> Parts {
  let weights = source.weights
  // A k that is given stands in for one that the path has by chance.
  guard let k = try weights.integer("k") ?? source.options.k ?? kInName(weights.path) else {
    throw Failure(
      .malformed,
      "k: expected it in the path, as the repositories have it (SAE-Res-…-W64K-L0_50), found none: the file has no k")
  }
  let computation = try Computation(
    inputBias: nil, encoder: weights.matrix("W_enc", transposed: true), encoderBias: weights.vector("b_enc"),
    activation: .topK(k), decoder: weights.matrix("W_dec", transposed: true), outputBias: weights.vector("b_dec"))
  return Parts(
    format: .qwenScope, className: "TopK", computation: computation, k: k,
    usesGivenK: try weights.integer("k") == nil && source.options.k != nil,
    warnings: weights.unreadEntries(but: ["k"]))
}

/// 50 of `…/SAE-Res-Qwen3-1.7B-W64K-L0_50/layer0.sae.pt`.
private func kInName(_ path: String) -> Int? {
  guard let mark = path.ranges(of: "L0_").last else { return nil }
  return Int(path[mark.upperBound...].prefix { $0.isASCII && $0.isNumber })
}
