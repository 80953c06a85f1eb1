import SystemIO
import TensorOperations

/// GPT-NeoX, such as Pythia.
///
/// HF: models/gpt_neox, configuration_gpt_neox.py and modeling_gpt_neox.py.
enum GPTNeoX {
  /// What is missing has the values of transformers' GPTNeoXConfig.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry this code does not implement or does not know.
  static func description(_ reader: ConfigurationReader) throws(Failure) -> DecoderDescription {
    try reader.checkWholeModel()
    let width = try reader.size("hidden_size", default: 6144)
    let mlpWidth = try reader.size("intermediate_size", default: 24_576)
    let layerCount = try reader.size("num_hidden_layers", default: 44, atMost: 10_000)
    let vocabulary = try reader.size("vocab_size", default: 50_432)
    let heads = try reader.size("num_attention_heads", default: 64)
    guard width % heads == 0 else {
      throw reader.unsupported("num_attention_heads", "a divisor of hidden_size \(width)")
    }
    let shape = AttentionShape(heads: heads, keyValueHeads: heads, headWidth: width / heads)
    let attention = LayerAttention(shape, try rotary(reader, headWidth: shape.headWidth))
    let description = DecoderDescription(
      family: "GPTNeoX", width: width, vocabularySize: vocabulary, embeddingScale: 1, learnedPositions: nil,
      norm: .layer(epsilon: Float(try reader.positive("layer_norm_eps", default: 1e-5))),
      attentions: Array(repeating: attention, count: layerCount),
      mlp: .plain(width: mlpWidth, try reader.activation("hidden_act", default: "gelu")),
      wiring: try reader.boolean("use_parallel_residual", default: true) ? .parallel : .sequential,
      logitSoftCap: nil, tiesHead: try reader.boolean("tie_word_embeddings", default: false),
      weights: weights(
        width, mlpWidth, shape, vocabulary: vocabulary, layerCount: layerCount,
        attentionBias: try reader.boolean("attention_bias", default: true)),
      warnings: reader.warnings(family: "GPTNeoX"))
    try reader.checkNothingIsLeft(besides: "")
    return description
  }

  /// The first dimensions of each head are turned, a share of them that has a name of its own, as has the base.
  private static func rotary(_ reader: ConfigurationReader, headWidth: Int) throws(Failure) -> RotaryEmbedding {
    let rope = try reader.rotaryEntries()
    let (base, share) = (
      try reader.positive("rotary_emb_base", default: 10_000), try reader.positive("rotary_pct", default: 0.25)
    )
    let theta = try rope?.positive("rope_theta", default: base) ?? base
    let turned = try rope?.positive("partial_rotary_factor", default: share) ?? share
    // Some files have these besides, which transformers' code of this family does not read.
    try reader.require("rope_theta", toBe: theta)
    try reader.require("partial_rotary_factor", toBe: turned)
    let dimensions = Int(Double(headWidth) * min(turned, 2))
    guard (dimensions + 1) / 2 * 2 <= headWidth else {
      throw reader.unsupported("rotary_pct", "at most 1", " which rotates \(dimensions) of \(headWidth) dimensions")
    }
    guard dimensions > 0 else { return .none }
    guard let rope else { return .halves(RotaryFrequencies(theta: theta, dimensions: dimensions).values) }
    return try rope.rotary(theta: theta, dimensions: dimensions, reader, maximumPositions: 2048)
  }

  /// Each head's query, key and value rows follow one another in one matrix.
  private static func weights(
    _ D: Int, _ F: Int, _ shape: AttentionShape, vocabulary V: Int, layerCount: Int, attentionBias: Bool
  ) -> WeightTable {
    let (layer, W) = ("gpt_neox.layers.{layer}.", shape.headWidth)
    var sources: [WeightSlot: WeightSource] = [
      .embedding: WeightSource("gpt_neox.embed_in.weight", [V, D]),
      .finalNorm: WeightSource("gpt_neox.final_layer_norm.weight", [D]),
      .finalNormBias: WeightSource("gpt_neox.final_layer_norm.bias", [D]),
      .head: WeightSource("lm_head.weight", [V, D]),
      .attentionNorm: WeightSource(layer + "input_layernorm.weight", [D]),
      .attentionNormBias: WeightSource(layer + "input_layernorm.bias", [D]),
      .attentionOutput: WeightSource(layer + "attention.dense.weight", [D, D]),
      .mlpNorm: WeightSource(layer + "post_attention_layernorm.weight", [D]),
      .mlpNormBias: WeightSource(layer + "post_attention_layernorm.bias", [D]),
      .up: WeightSource(layer + "mlp.dense_h_to_4h.weight", [F, D]),
      .upBias: WeightSource(layer + "mlp.dense_h_to_4h.bias", [F]),
      .down: WeightSource(layer + "mlp.dense_4h_to_h.weight", [D, F]),
      .downBias: WeightSource(layer + "mlp.dense_4h_to_h.bias", [D]),
    ]
    for (part, (slot, bias)) in [
      (WeightSlot.query, WeightSlot.queryBias), (.key, .keyBias), (.value, .valueBias),
    ].enumerated() {
      let rows = WeightPart.ofEach(3 * W, part * W..<(part + 1) * W)
      sources[slot] = WeightSource(layer + "attention.query_key_value.weight", [3 * D, D], part: rows)
      if attentionBias { sources[bias] = WeightSource(layer + "attention.query_key_value.bias", [3 * D], part: rows) }
    }
    if attentionBias { sources[.attentionOutputBias] = WeightSource(layer + "attention.dense.bias", [D]) }
    return WeightTable(
      sources, layerCount: layerCount, prefix: "gpt_neox.", renamed: ["embed_out.": "lm_head."],
      withoutEffect: [".attention.bias", ".attention.masked_bias"])
  }
}
