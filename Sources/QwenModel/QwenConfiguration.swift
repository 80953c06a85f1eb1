import JSON
import SystemIO
import TensorOperations

/// The numbers of a Hugging Face config.json that shape a Qwen2 model's computation.
public struct QwenConfiguration: Equatable, Sendable {
  /// d, the width of the residual stream.
  public let hiddenSize: Int
  /// The width inside the MLP.
  public let intermediateSize: Int
  public let layerCount: Int
  public let attention: AttentionShape
  public let vocabularySize: Int
  public let rmsNormEpsilon: Float
  public let ropeTheta: Double
  /// The output head is the embedding matrix itself.
  public let tiesWordEmbeddings: Bool

  /// Reads a config.json of any Qwen2 or Qwen2.5 model, as transformers 4 or 5 writes it.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry this code does not implement or does not find.
  public init(_ json: JSON) throws(Failure) {
    let modelType = json["model_type"]?.text ?? "(none)"
    guard modelType == "qwen2" else { throw Self.unsupported("model_type", "qwen2", modelType) }
    let activation = json["hidden_act"]?.text ?? "silu"
    guard activation == "silu" else { throw Self.unsupported("hidden_act", "silu", activation) }
    if json["use_sliding_window"]?.boolean == true {
      throw Self.unsupported("use_sliding_window", "false", "true")
    }
    for type in json["layer_types"]?.elements ?? [] where type.text != "full_attention" {
      throw Self.unsupported("layer_types", "full_attention", type.text ?? "(no text)")
    }
    if let scaling = json["rope_scaling"], !scaling.isNull {
      let kind = scaling["rope_type"]?.text ?? scaling["type"]?.text ?? "(unnamed)"
      guard kind == "default" else { throw Self.unsupported("rope_scaling", "none", kind) }
    }
    let rope = json["rope_parameters"]
    if let kind = rope?["rope_type"]?.text, kind != "default" {
      throw Self.unsupported("rope_parameters.rope_type", "default", kind)
    }
    if let factor = (json["partial_rotary_factor"] ?? rope?["partial_rotary_factor"])?.number, factor != 1 {
      throw Self.unsupported("partial_rotary_factor", "1", "\(factor)")
    }

    hiddenSize = try Self.size(json, "hidden_size")
    intermediateSize = try Self.size(json, "intermediate_size")
    layerCount = try Self.size(json, "num_hidden_layers", atMost: 10_000)
    vocabularySize = try Self.size(json, "vocab_size")
    let heads = try Self.size(json, "num_attention_heads")
    let hasKeyValueHeads = json["num_key_value_heads"].map { !$0.isNull } ?? false
    let keyValueHeads = hasKeyValueHeads ? try Self.size(json, "num_key_value_heads") : heads
    guard heads % keyValueHeads == 0 else {
      throw Self.unsupported("num_key_value_heads", "a divisor of \(heads)", "\(keyValueHeads)")
    }
    let headWidth: Int
    if let width = json["head_dim"], !width.isNull {
      headWidth = try Self.size(json, "head_dim")
    } else {
      guard hiddenSize % heads == 0 else {
        throw Self.unsupported("num_attention_heads", "a divisor of hidden_size \(hiddenSize)", "\(heads)")
      }
      headWidth = hiddenSize / heads
    }
    guard headWidth % 2 == 0 else { throw Self.unsupported("head_dim", "an even number", "\(headWidth)") }
    attention = AttentionShape(heads: heads, keyValueHeads: keyValueHeads, headWidth: headWidth)
    rmsNormEpsilon = Float(try Self.positive(json["rms_norm_eps"], "rms_norm_eps", default: 1e-6))
    ropeTheta = try Self.positive(json["rope_theta"] ?? rope?["rope_theta"], "rope_theta", default: 10_000)
    tiesWordEmbeddings = json["tie_word_embeddings"]?.boolean ?? false
  }

  private static func unsupported(_ entry: String, _ expected: String, _ found: String) -> Failure {
    Failure(.malformed, "config.json: \(entry): expected \(expected), found \(found)")
  }

  /// Sizes beyond 2²⁴ are no model's, and products of them would overflow.
  private static func size(_ json: JSON, _ entry: String, atMost limit: Int = 1 << 24) throws(Failure) -> Int {
    guard let value = json[entry]?.int, (1...limit).contains(value) else {
      throw unsupported(entry, "a whole number from 1 to \(limit)", shown(json[entry]))
    }
    return value
  }

  private static func positive(_ value: JSON?, _ entry: String, default: Double) throws(Failure) -> Double {
    guard let value, !value.isNull else { return `default` }
    guard let number = value.number, number > 0 else { throw unsupported(entry, "a positive number", shown(value)) }
    return number
  }

  /// An entry's value as the file has it, for a message.
  private static func shown(_ value: JSON?) -> String {
    switch value {
    case nil: "none"
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .double(let value): "\(value)"
    case .string(let bytes): JSON.quote(String(decoding: bytes, as: UTF8.self))
    case .array: "an array"
    case .object: "an object"
    }
  }
}
