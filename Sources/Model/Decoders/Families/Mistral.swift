import SystemIO
import TensorOperations

/// Mistral 7B.
///
/// HF: models/mistral, configuration_mistral.py and modeling_mistral.py.
enum Mistral {
  /// What is missing has the values of transformers' MistralConfig, among them a window of 4,096 tokens.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry this code does not implement or does not know.
  static func description(_ reader: ConfigurationReader) throws(Failure) -> DecoderDescription {
    try reader.checkWholeModel()
    let sizes = try reader.sizes(
      default: DecoderSizes(
        width: 4096, mlpWidth: 14_336, layerCount: 32, vocabulary: 32_000, heads: 32, keyValueHeads: 8))
    let attention = LayerAttention(
      sizes.attention(window: try reader.window(default: 4096)),
      try reader.rotary(headWidth: sizes.headWidth!, maximumPositions: 131_072))
    try reader.refuseIfTrue("attention_bias")
    let description = DecoderDescription(
      family: "Mistral", width: sizes.width, vocabularySize: sizes.vocabulary, embeddingScale: 1,
      learnedPositions: nil, norm: .rms(epsilon: Float(try reader.positive("rms_norm_eps", default: 1e-6)), offset: 0),
      attentions: Array(repeating: attention, count: sizes.layerCount),
      mlp: .gated(width: sizes.mlpWidth, try reader.activation("hidden_act", default: "silu")), wiring: .sequential,
      logitSoftCap: nil, tiesHead: try reader.boolean("tie_word_embeddings", default: false),
      weights: WeightTable(
        sizes.commonWeights(attentionBias: false, outputBias: false, mlpBias: false), layerCount: sizes.layerCount,
        prefix: "model."), warnings: reader.warnings(family: "Mistral"))
    try reader.checkNothingIsLeft(besides: "")
    return description
  }
}
