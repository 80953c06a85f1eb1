import SystemIO
import TensorOperations

/// Qwen3, the dense models.
///
/// HF: models/qwen3, configuration_qwen3.py and modeling_qwen3.py.
enum Qwen3 {
  /// What is missing has the values of transformers' Qwen3Config.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry this code does not implement or does not know.
  static func description(_ reader: ConfigurationReader) throws(Failure) -> DecoderDescription {
    try reader.checkWholeModel()
    let sizes = try reader.sizes(
      default: DecoderSizes(
        width: 4096, mlpWidth: 22_016, layerCount: 32, vocabulary: 151_936, heads: 32, keyValueHeads: 32,
        headWidth: 128))
    let rotary = try reader.rotary(headWidth: sizes.headWidth!, maximumPositions: 32_768)
    let windows = try reader.windowsWhereUsed(layerCount: sizes.layerCount)
    let attentionBias = try reader.boolean("attention_bias", default: false)
    let weights = sizes.commonWeights(attentionBias: attentionBias, outputBias: attentionBias, mlpBias: false)
    let description = DecoderDescription(
      family: "Qwen3", width: sizes.width, vocabularySize: sizes.vocabulary, embeddingScale: 1, learnedPositions: nil,
      norm: .rms(epsilon: Float(try reader.positive("rms_norm_eps", default: 1e-6)), offset: 0),
      attentions: windows.map { LayerAttention(sizes.attention(window: $0), rotary) },
      mlp: .gated(width: sizes.mlpWidth, try reader.activation("hidden_act", default: "silu")), wiring: .sequential,
      logitSoftCap: nil, tiesHead: try reader.boolean("tie_word_embeddings", default: false),
      weights: WeightTable(
        weights.merging(sizes.headNorms()) { $1 }, layerCount: sizes.layerCount, prefix: "model."),
      warnings: reader.warnings(family: "Qwen3"))
    try reader.checkNothingIsLeft(besides: "")
    return description
  }
}
