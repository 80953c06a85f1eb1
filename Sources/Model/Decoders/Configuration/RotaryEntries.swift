import JSON
import SystemIO

/// What is said of the rotary embedding.
extension ConfigurationReader {
  /// The base of the rotary embedding's angles, from wherever the file has it.
  ///
  /// HF: modeling_rope_utils.py, RotaryEmbeddingConfigMixin.convert_rope_params_to_dict: `rope_scaling` counts where it
  /// is not empty, else `rope_parameters`; the top level only gives what the chosen one does not have.
  func ropeTheta() throws(Failure) -> Double {
    let (scaling, parameters) = (value("rope_scaling"), value("rope_parameters"))
    let name = Self.isEmpty(scaling) ? "rope_parameters" : "rope_scaling"
    _ = value("rope_theta")
    guard let chosen = Self.isEmpty(scaling) ? parameters : scaling, !chosen.isNull else {
      return try positive("rope_theta", default: Self.defaultRopeTheta)
    }
    guard chosen.members != nil else { throw unsupported(name, "an object") }
    let rope = ConfigurationReader(chosen, prefix: "\(name).")
    let (type, older) = (rope.value("rope_type"), rope.value("type"))
    if let kind = type ?? older, kind.text != "default" {
      throw rope.unsupported(type == nil ? "type" : "rope_type", "\"default\"")
    }
    let own = rope.value("rope_theta")
    try rope.checkNothingIsLeft(withoutEffect: Self.entriesOfOtherRotaryTypes)
    return try own == nil
      ? positive("rope_theta", default: Self.defaultRopeTheta)
      : rope.positive("rope_theta", default: Self.defaultRopeTheta)
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
}
