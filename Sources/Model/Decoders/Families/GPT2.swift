import SystemIO
import TensorOperations

/// GPT-2.
///
/// HF: models/gpt2, configuration_gpt2.py and modeling_gpt2.py.
enum GPT2 {
  /// What is missing has the values of transformers' GPT2Config.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry this code does not implement or does not know.
  static func description(_ reader: ConfigurationReader) throws(Failure) -> DecoderDescription {
    try reader.checkWholeModel()
    let width = try reader.size("n_embd", default: 768)
    let layerCount = try reader.size("n_layer", default: 12, atMost: 10_000)
    let heads = try reader.size("n_head", default: 12)
    guard width % heads == 0 else { throw reader.unsupported("n_head", "a divisor of n_embd \(width)") }
    let positions = try reader.size("n_positions", default: 1024)
    let vocabulary = try reader.size("vocab_size", default: 50_257)
    let hasOwnInner = reader.value("n_inner")?.isNull == false
    let mlpWidth = hasOwnInner ? try reader.size("n_inner", default: 0) : 4 * width
    let scale = try reader.boolean("scale_attn_weights", default: true) ? 1 / Double(width / heads).squareRoot() : 1
    let scalesByLayer = try reader.boolean("scale_attn_by_inverse_layer_idx", default: false)
    try reader.refuseIfTrue("add_cross_attention")
    let description = DecoderDescription(
      family: "GPT2", width: width, vocabularySize: vocabulary, embeddingScale: 1, learnedPositions: positions,
      norm: .layer(epsilon: Float(try reader.positive("layer_norm_epsilon", default: 1e-5))),
      attentions: (0..<layerCount).map { layer in
        let scale = Float(scalesByLayer ? scale / Double(layer + 1) : scale)
        return LayerAttention(
          AttentionShape(heads: heads, keyValueHeads: heads, headWidth: width / heads, scale: scale), .none)
      }, mlp: .plain(width: mlpWidth, try reader.activation("activation_function", default: "gelu_new")),
      wiring: .sequential, logitSoftCap: nil, tiesHead: try reader.boolean("tie_word_embeddings", default: true),
      weights: weights(width, mlpWidth, vocabulary: vocabulary, positions: positions, layerCount: layerCount),
      warnings: reader.warnings(family: "GPT2"))
    try reader.checkNothingIsLeft(
      besides: """
        n_ctx attn_pdrop summary_type summary_use_proj summary_activation summary_proj_to_labels summary_first_dropout
        reorder_and_upcast_attn n_special predict_special_tokens output_past _num_labels
        """)
    return description
  }

  /// Matrices are (in, out), and queries, keys and values lie side by side in one.
  private static func weights(
    _ D: Int, _ F: Int, vocabulary V: Int, positions: Int, layerCount: Int
  ) -> WeightTable {
    let layer = "transformer.h.{layer}."
    func fused(_ name: String, _ shape: [Int], _ part: Int) -> WeightSource {
      WeightSource(
        layer + name, shape, isTransposed: shape.count == 2, part: .range(part * D..<(part + 1) * D))
    }
    func matrix(_ name: String, _ input: Int, _ out: Int) -> WeightSource {
      WeightSource(layer + name, [input, out], isTransposed: true)
    }
    return WeightTable(
      [
        .embedding: WeightSource("transformer.wte.weight", [V, D]),
        .positions: WeightSource("transformer.wpe.weight", [positions, D]),
        .finalNorm: WeightSource("transformer.ln_f.weight", [D]),
        .finalNormBias: WeightSource("transformer.ln_f.bias", [D]), .head: WeightSource("lm_head.weight", [V, D]),
        .attentionNorm: WeightSource(layer + "ln_1.weight", [D]),
        .attentionNormBias: WeightSource(layer + "ln_1.bias", [D]),
        .query: fused("attn.c_attn.weight", [D, 3 * D], 0), .queryBias: fused("attn.c_attn.bias", [3 * D], 0),
        .key: fused("attn.c_attn.weight", [D, 3 * D], 1), .keyBias: fused("attn.c_attn.bias", [3 * D], 1),
        .value: fused("attn.c_attn.weight", [D, 3 * D], 2), .valueBias: fused("attn.c_attn.bias", [3 * D], 2),
        .attentionOutput: matrix("attn.c_proj.weight", D, D),
        .attentionOutputBias: WeightSource(layer + "attn.c_proj.bias", [D]),
        .mlpNorm: WeightSource(layer + "ln_2.weight", [D]), .mlpNormBias: WeightSource(layer + "ln_2.bias", [D]),
        .up: matrix("mlp.c_fc.weight", D, F), .upBias: WeightSource(layer + "mlp.c_fc.bias", [F]),
        .down: matrix("mlp.c_proj.weight", F, D), .downBias: WeightSource(layer + "mlp.c_proj.bias", [D]),
      ], layerCount: layerCount, prefix: "transformer.", withoutEffect: [".attn.bias", ".attn.masked_bias"])
  }
}
