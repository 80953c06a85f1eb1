import SystemIO
import TensorOperations

/// Gemma, the first one.
///
/// HF: models/gemma, configuration_gemma.py and modeling_gemma.py.
enum Gemma {
  /// What is missing has the values of transformers' GemmaConfig.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry this code does not implement or does not know.
  static func description(_ reader: ConfigurationReader) throws(Failure) -> DecoderDescription {
    try reader.checkWholeModel()
    let sizes = try reader.sizes(
      default: DecoderSizes(
        width: 3072, mlpWidth: 24_576, layerCount: 28, vocabulary: 256_000, heads: 16, keyValueHeads: 16,
        headWidth: 256))
    let attention = LayerAttention(
      sizes.attention(), try reader.rotary(headWidth: sizes.headWidth!, maximumPositions: 8192))
    let attentionBias = try reader.boolean("attention_bias", default: false)
    try reader.refuseIfTrue("use_bidirectional_attention")
    // The first files said "gelu" and meant its approximation, which is what transformers takes it for.
    let stated = try reader.activation("hidden_act", default: "gelu_pytorch_tanh")
    let function = stated == .gelu ? ActivationFunction.geluTanh : stated
    // An entry of later files that transformers' code no longer reads.
    try reader.refuseOtherActivation("hidden_activation", than: function)
    let description = DecoderDescription(
      family: "Gemma", width: sizes.width, vocabularySize: sizes.vocabulary,
      embeddingScale: Float(Double(sizes.width).squareRoot()), learnedPositions: nil,
      norm: .rms(epsilon: Float(try reader.positive("rms_norm_eps", default: 1e-6)), offset: 1),
      attentions: Array(repeating: attention, count: sizes.layerCount),
      mlp: .gated(width: sizes.mlpWidth, function), wiring: .sequential, logitSoftCap: nil,
      tiesHead: try reader.boolean("tie_word_embeddings", default: true),
      weights: WeightTable(
        sizes.commonWeights(attentionBias: attentionBias, outputBias: attentionBias, mlpBias: false),
        layerCount: sizes.layerCount, prefix: "model."), warnings: reader.warnings(family: "Gemma"))
    try reader.checkNothingIsLeft(besides: "")
    return description
  }
}
