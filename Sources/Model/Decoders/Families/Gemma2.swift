import SystemIO
import TensorOperations

/// Gemma 2.
///
/// HF: models/gemma2, configuration_gemma2.py and modeling_gemma2.py.
enum Gemma2 {
  /// What is missing has the values of transformers' Gemma2Config.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry this code does not implement or does not know.
  static func description(_ reader: ConfigurationReader) throws(Failure) -> DecoderDescription {
    try reader.checkWholeModel()
    let sizes = try reader.sizes(
      default: DecoderSizes(
        width: 2304, mlpWidth: 9216, layerCount: 26, vocabulary: 256_000, heads: 8, keyValueHeads: 4, headWidth: 256))
    let rotary = try reader.rotary(headWidth: sizes.headWidth!, maximumPositions: 8192)
    let scale = Float(1 / (try reader.positive("query_pre_attn_scalar", default: 256)).squareRoot())
    let softCap = try reader.positiveOrNull("attn_logit_softcapping", default: 50).map { Float($0) }
    // Every other layer, from the first on.
    let windows = try reader.windows(layerCount: sizes.layerCount) { $0 % 2 == 0 }
    let attentionBias = try reader.boolean("attention_bias", default: false)
    let function = try reader.activation("hidden_activation", default: "gelu_pytorch_tanh")
    try reader.refuseOtherActivation("hidden_act", than: function)
    try reader.refuseIfTrue("use_bidirectional_attention")
    let weights = sizes.commonWeights(attentionBias: attentionBias, outputBias: attentionBias, mlpBias: false)
    let description = DecoderDescription(
      family: "Gemma2", width: sizes.width, vocabularySize: sizes.vocabulary,
      embeddingScale: Float(Double(sizes.width).squareRoot()), learnedPositions: nil,
      norm: .rms(epsilon: Float(try reader.positive("rms_norm_eps", default: 1e-6)), offset: 1),
      attentions: windows.map {
        LayerAttention(sizes.attention(scale: scale, softCap: softCap, window: $0), rotary)
      }, mlp: .gated(width: sizes.mlpWidth, function), wiring: .sequential,
      logitSoftCap: try reader.positiveOrNull("final_logit_softcapping", default: 30).map { Float($0) },
      tiesHead: try reader.boolean("tie_word_embeddings", default: true),
      weights: WeightTable(
        weights.merging(sizes.surroundingNorms()) { $1 }, layerCount: sizes.layerCount, prefix: "model."),
      warnings: reader.warnings(family: "Gemma2"))
    try reader.checkNothingIsLeft(besides: "cache_implementation")
    return description
  }
}
