import JSON
import SystemIO

/// The entries that ask for another computation than this model's.
extension Qwen2 {
  /// Refuses what changes all of the model: quantised weights, other files, attention to what follows.
  static func checkWholeModel(_ reader: ConfigurationReader) throws(Failure) {
    for entry in ["quantization_config", "quantization", "compression_config"] {
      guard let value = reader.value(entry), !value.isNull else { continue }
      let method = value["quant_method"]?.text ?? value["bits"]?.int.map { "\($0) bits" } ?? "one"
      throw Failure(
        .malformed,
        "config.json: \(entry): expected none, found \(method): quantised weights are not read; the model that they were "
          + "made from, in f32, bf16 or f16, is")
    }
    // LLM2Vec and other embedding models: each position sees those behind it.
    if let causal = reader.value("is_causal"), !causal.isNull, causal.boolean != true {
      throw reader.unsupported("is_causal", "true")
    }
    if let pruned = reader.value("pruned_heads"), !pruned.isNull, pruned.members?.isEmpty != true {
      throw reader.unsupported("pruned_heads", "none")
    }
    // In transformers these two name other files to read instead.
    for entry in ["configuration_files", "transformers_weights"] {
      if let other = reader.value(entry), !other.isNull { throw reader.unsupported(entry, "none") }
    }
  }

  /// A window is one only where a layer uses it.
  ///
  /// HF: configuration_qwen2.py, Qwen2Config.__post_init__.
  static func checkFullAttention(_ reader: ConfigurationReader, layerCount: Int) throws(Failure) {
    let usesWindow = try reader.boolean("use_sliding_window", default: false)
    let window = reader.value("sliding_window")
    let firstLayer = reader.value("max_window_layers")
    if let types = reader.value("layer_types"), !types.isNull {
      guard let types = types.elements, types.count == layerCount else {
        throw reader.unsupported("layer_types", "a list of num_hidden_layers, \(layerCount), types")
      }
      // "attention" is an older name, which transformers still takes.
      if let other = types.first(where: { !["full_attention", "attention"].contains($0.text) }) {
        throw Failure(
          .malformed,
          "config.json: layer_types: expected full_attention throughout, found \(other.text ?? "something else")")
      }
      return
    }
    guard usesWindow, window?.isNull != true else { return }
    if let firstLayer, firstLayer.int == nil { throw reader.unsupported("max_window_layers", "a whole number") }
    guard (firstLayer?.int ?? 28) < layerCount else { return }
    throw reader.unsupported("use_sliding_window", "false, or max_window_layers of at least \(layerCount)")
  }

  /// The base of the rotary embedding's angles, from wherever the file has it.
  ///
  /// HF: modeling_rope_utils.py, RotaryEmbeddingConfigMixin.convert_rope_params_to_dict: `rope_scaling` counts where it
  /// is not empty, else `rope_parameters`; the top level only gives what the chosen one does not have.
  static func ropeTheta(_ reader: ConfigurationReader) throws(Failure) -> Double {
    let (scaling, parameters) = (reader.value("rope_scaling"), reader.value("rope_parameters"))
    let name = isEmpty(scaling) ? "rope_parameters" : "rope_scaling"
    _ = reader.value("rope_theta")
    guard let chosen = isEmpty(scaling) ? parameters : scaling, !chosen.isNull else {
      return try reader.positive("rope_theta", default: defaultRopeTheta)
    }
    guard chosen.members != nil else { throw reader.unsupported(name, "an object") }
    let rope = ConfigurationReader(chosen, prefix: "\(name).")
    let (type, older) = (rope.value("rope_type"), rope.value("type"))
    if let kind = type ?? older, kind.text != "default" {
      throw rope.unsupported(type == nil ? "type" : "rope_type", "\"default\"")
    }
    let own = rope.value("rope_theta")
    try rope.checkNothingIsLeft(withoutEffect: entriesOfOtherRotaryTypes)
    return try own == nil
      ? reader.positive("rope_theta", default: defaultRopeTheta)
      : rope.positive("rope_theta", default: defaultRopeTheta)
  }

  /// HF: modeling_rope_utils.py, RotaryEmbeddingConfigMixin.default_theta.
  private static let defaultRopeTheta = 10_000.0

  /// Only the types that scale read these, and those are refused.
  private static let entriesOfOtherRotaryTypes: Set<String> = [
    "factor", "partial_rotary_factor", "original_max_position_embeddings", "attention_factor", "beta_fast", "beta_slow",
    "mscale", "mscale_all_dim", "short_factor", "long_factor", "low_freq_factor", "high_freq_factor", "truncate",
    "mrope_section",
  ]

  /// What Python takes for false.
  private static func isEmpty(_ value: JSON?) -> Bool {
    switch value {
    case nil, .null, .bool(false), .integer(0): true
    case .array(let elements): elements.isEmpty
    case .object(let members): members.isEmpty
    case .string(let bytes): bytes.isEmpty
    case .double(let number): number == 0
    default: false
    }
  }

  static func warnings(_ reader: ConfigurationReader) -> [String] {
    let code = (reader.value("auto_map")?.members ?? []).map { String(decoding: $0.key, as: UTF8.self) }
    guard code.contains(where: { $0 == "AutoConfig" || $0.hasPrefix("AutoModel") }) else { return [] }
    return [
      "config.json: auto_map: the model comes with code of its own, which is not run: it is computed as transformers' "
        + "Qwen2, as transformers does without trust_remote_code"
    ]
  }
}
