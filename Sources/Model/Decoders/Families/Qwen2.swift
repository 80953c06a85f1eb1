import JSON
import SystemIO
import TensorOperations

/// Qwen2 and Qwen2.5.
///
/// HF: models/qwen2, configuration_qwen2.py and modeling_qwen2.py.
enum Qwen2 {
  /// Reads a config.json as transformers 4 or 5 writes it. What is missing has the values of transformers' Qwen2Config.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry this code does not implement or does not know.
  static func description(_ reader: ConfigurationReader) throws(Failure) -> DecoderDescription {
    try reader.checkWholeModel()
    let activation = reader.value("hidden_act") ?? .string(Array("silu".utf8))
    guard ["silu", "swish"].contains(activation.text) else { throw reader.unsupported("hidden_act", "\"silu\"") }
    let width = try reader.size("hidden_size", default: 4096)
    let mlpWidth = try reader.size("intermediate_size", default: 22_016)
    let layerCount = try reader.size("num_hidden_layers", default: 32, atMost: 10_000)
    let vocabularySize = try reader.size("vocab_size", default: 151_936)
    let attention = try attention(reader, width: width)
    try checkFullAttention(reader, layerCount: layerCount)
    let description = DecoderDescription(
      family: "Qwen2", width: width, layerCount: layerCount, vocabularySize: vocabularySize,
      norm: .rms(epsilon: Float(try reader.positive("rms_norm_eps", default: 1e-6)), offset: 0), attention: attention,
      rotary: .full(theta: try reader.ropeTheta()), mlp: .swiGLU(width: mlpWidth), wiring: .sequential,
      tiesHead: try reader.boolean("tie_word_embeddings", default: false),
      weights: weights(width, mlpWidth, attention, vocabularySize: vocabularySize, layerCount: layerCount),
      warnings: reader.warnings(family: "Qwen2"))
    // Of other architectures: this one's code reads none of them.
    try reader.checkNothingIsLeft(
      besides: "add_cross_attention attention_bias use_mrope partial_rotary_factor pretraining_tp")
    return description
  }

  private static func attention(_ reader: ConfigurationReader, width: Int) throws(Failure) -> AttentionShape {
    let heads = try reader.size("num_attention_heads", default: 32)
    let followsHeads = reader.value("num_key_value_heads")?.isNull == true
    let keyValueHeads = followsHeads ? heads : try reader.size("num_key_value_heads", default: 32)
    guard heads % keyValueHeads == 0 else {
      throw reader.unsupported(
        "num_key_value_heads", "a divisor of \(heads)",
        reader.value("num_key_value_heads") == nil ? ", which transformers takes for \(keyValueHeads)" : "")
    }
    let headWidth: Int
    if let stated = reader.value("head_dim"), !stated.isNull {
      headWidth = try reader.size("head_dim", default: 0)
    } else {
      guard width % heads == 0 else {
        throw reader.unsupported("num_attention_heads", "a divisor of hidden_size \(width)")
      }
      headWidth = width / heads
    }
    guard headWidth % 2 == 0 else {
      throw reader.unsupported("head_dim", "an even number", ", which makes \(headWidth)")
    }
    return AttentionShape(heads: heads, keyValueHeads: keyValueHeads, headWidth: headWidth)
  }

  private static func weights(
    _ D: Int, _ F: Int, _ attention: AttentionShape, vocabularySize V: Int, layerCount: Int
  ) -> WeightTable {
    let (Q, K) = (attention.queryWidth, attention.keyValueWidth)
    let layer = "model.layers.{layer}."
    return WeightTable(
      [
        .embedding: WeightSource("model.embed_tokens.weight", [V, D]),
        .finalNorm: WeightSource("model.norm.weight", [D]),
        .head: WeightSource("lm_head.weight", [V, D]),
        .attentionNorm: WeightSource(layer + "input_layernorm.weight", [D]),
        .query: WeightSource(layer + "self_attn.q_proj.weight", [Q, D]),
        .queryBias: WeightSource(layer + "self_attn.q_proj.bias", [Q], isOptional: true),
        .key: WeightSource(layer + "self_attn.k_proj.weight", [K, D]),
        .keyBias: WeightSource(layer + "self_attn.k_proj.bias", [K], isOptional: true),
        .value: WeightSource(layer + "self_attn.v_proj.weight", [K, D]),
        .valueBias: WeightSource(layer + "self_attn.v_proj.bias", [K], isOptional: true),
        .attentionOutput: WeightSource(layer + "self_attn.o_proj.weight", [D, Q]),
        .mlpNorm: WeightSource(layer + "post_attention_layernorm.weight", [D]),
        .gate: WeightSource(layer + "mlp.gate_proj.weight", [F, D]),
        .up: WeightSource(layer + "mlp.up_proj.weight", [F, D]),
        .down: WeightSource(layer + "mlp.down_proj.weight", [D, F]),
      ], layerCount: layerCount, prefix: "model.")
  }
}
