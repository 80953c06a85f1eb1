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
    let sizes = try reader.sizes(
      default: DecoderSizes(
        width: 4096, mlpWidth: 22_016, layerCount: 32, vocabulary: 151_936, heads: 32, keyValueHeads: 32))
    let rotary = try reader.rotary(headWidth: sizes.headWidth!, maximumPositions: 32_768)
    let windows = try reader.windowsWhereUsed(layerCount: sizes.layerCount)
    let description = DecoderDescription(
      family: "Qwen2", width: sizes.width, vocabularySize: sizes.vocabulary, embeddingScale: 1, learnedPositions: nil,
      norm: .rms(epsilon: Float(try reader.positive("rms_norm_eps", default: 1e-6)), offset: 0),
      attentions: windows.map { LayerAttention(sizes.attention(window: $0), rotary) },
      mlp: .gated(width: sizes.mlpWidth, try reader.activation("hidden_act", default: "silu")), wiring: .sequential,
      logitSoftCap: nil, tiesHead: try reader.boolean("tie_word_embeddings", default: false),
      weights: WeightTable(
        sizes.commonWeights(attentionBias: true, outputBias: false, mlpBias: false, biasesAreOptional: true),
        layerCount: sizes.layerCount, prefix: "model."),
      warnings: reader.warnings(family: "Qwen2"))
    // Of other architectures: this one's code reads none of them.
    try reader.checkNothingIsLeft(besides: "add_cross_attention attention_bias use_mrope pretraining_tp")
    return description
  }
}
