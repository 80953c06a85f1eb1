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
  /// The output head is the embedding matrix itself, unless the weights have a head of their own.
  public let tiesWordEmbeddings: Bool
  /// What a user should know of this file, a sentence each.
  public let warnings: [String]

  /// Reads a config.json of any Qwen2 or Qwen2.5 model, as transformers 4 or 5 writes it. What is missing has the
  /// values of transformers' Qwen2Config.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry this code does not implement or does not know.
  public init(_ json: JSON) throws(Failure) {
    let reader = ConfigurationReader(json)
    guard json.members != nil, reader.value("model_type")?.text == "qwen2" else {
      throw reader.unsupported("model_type", "\"qwen2\"")
    }
    try Self.checkWholeModel(reader)
    let activation = reader.value("hidden_act") ?? .string(Array("silu".utf8))
    guard ["silu", "swish"].contains(activation.text) else { throw reader.unsupported("hidden_act", "\"silu\"") }

    hiddenSize = try reader.size("hidden_size", default: 4096)
    intermediateSize = try reader.size("intermediate_size", default: 22_016)
    layerCount = try reader.size("num_hidden_layers", default: 32, atMost: 10_000)
    vocabularySize = try reader.size("vocab_size", default: 151_936)
    attention = try Self.attention(reader, hiddenSize: hiddenSize)
    try Self.checkFullAttention(reader, layerCount: layerCount)
    rmsNormEpsilon = Float(try reader.positive("rms_norm_eps", default: 1e-6))
    ropeTheta = try Self.ropeTheta(reader)
    tiesWordEmbeddings = try reader.boolean("tie_word_embeddings", default: false)
    warnings = Self.warnings(reader)
    try reader.checkNothingIsLeft(withoutEffect: Self.entriesWithoutEffect)
  }

  /// HF: modeling_qwen2.py, Qwen2Attention.
  private static func attention(_ reader: ConfigurationReader, hiddenSize: Int) throws(Failure) -> AttentionShape {
    let heads = try reader.size("num_attention_heads", default: 32)
    let followsHeads = reader.value("num_key_value_heads")?.isNull == true
    let keyValueHeads = followsHeads ? heads : try reader.size("num_key_value_heads", default: 32)
    guard heads % keyValueHeads == 0 else {
      throw reader.unsupported(
        "num_key_value_heads", "a divisor of \(heads)",
        reader.value("num_key_value_heads") == nil ? ", which transformers takes for \(keyValueHeads)" : "")
    }
    let headWidth: Int
    if let width = reader.value("head_dim"), !width.isNull {
      headWidth = try reader.size("head_dim", default: 0)
    } else {
      guard hiddenSize % heads == 0 else {
        throw reader.unsupported("num_attention_heads", "a divisor of hidden_size \(hiddenSize)")
      }
      headWidth = hiddenSize / heads
    }
    guard headWidth % 2 == 0 else {
      throw reader.unsupported("head_dim", "an even number", ", which makes \(headWidth)")
    }
    return AttentionShape(heads: heads, keyValueHeads: keyValueHeads, headWidth: headWidth)
  }
}
