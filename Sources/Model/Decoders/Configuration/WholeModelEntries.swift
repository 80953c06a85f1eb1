import JSON
import SystemIO

/// The entries that ask, in any family, for another model than the one that its weights and sizes describe.
extension ConfigurationReader {
  /// Refuses what changes all of the model: quantised weights, other files, attention to what follows.
  func checkWholeModel() throws(Failure) {
    for entry in ["quantization_config", "quantization", "compression_config"] {
      guard let value = value(entry), !value.isNull else { continue }
      let method = value["quant_method"]?.text ?? value["bits"]?.int.map { "\($0) bits" } ?? "one"
      throw Failure(
        .malformed,
        "config.json: \(entry): expected none, found \(method): quantised weights are not supported: use the model that they were "
          + "made from, in f32, bf16 or f16")
    }
    // LLM2Vec and other embedding models: each position sees those behind it.
    if let causal = value("is_causal"), !causal.isNull, causal.boolean != true {
      throw unsupported("is_causal", "true")
    }
    if let pruned = value("pruned_heads"), !pruned.isNull, pruned.members?.isEmpty != true {
      throw unsupported("pruned_heads", "none")
    }
    // In transformers these two name other files to read instead.
    for entry in ["configuration_files", "transformers_weights"] {
      if let other = value(entry), !other.isNull { throw unsupported(entry, "none") }
    }
  }

  /// Warns of code that comes with a model and is not run.
  func warnings(family: String) -> [String] {
    let code = (value("auto_map")?.members ?? []).map { String(decoding: $0.key, as: UTF8.self) }
    guard code.contains(where: { $0 == "AutoConfig" || $0.hasPrefix("AutoModel") }) else { return [] }
    return [
      "config.json: auto_map: the model comes with code of its own, which is not run: it is computed as transformers' "
        + "\(family), as transformers does without trust_remote_code"
    ]
  }
}
