import SystemIO
import TensorOperations

/// Llama 2, 3, 3.1 and 3.2, and what has their architecture, such as SmolLM2, Yi and DeepSeek-R1-Distill-Llama.
///
/// HF: models/llama, configuration_llama.py and modeling_llama.py.
enum Llama {
  /// What is missing has the values of transformers' LlamaConfig.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry this code does not implement or does not know.
  static func description(_ reader: ConfigurationReader) throws(Failure) -> DecoderDescription {
    try reader.checkWholeModel()
    let sizes = try reader.sizes(
      default: DecoderSizes(width: 4096, mlpWidth: 11_008, layerCount: 32, vocabulary: 32_000, heads: 32))
    let rotary = try reader.rotary(headWidth: sizes.headWidth!, maximumPositions: 2048)
    let attentionBias = try reader.boolean("attention_bias", default: false)
    // Versions of transformers before 5 cut the products of such a model into as many parts.
    try reader.require("pretraining_tp", toBe: 1)
    let description = DecoderDescription(
      family: "Llama", width: sizes.width, vocabularySize: sizes.vocabulary, embeddingScale: 1, learnedPositions: nil,
      norm: .rms(epsilon: Float(try reader.positive("rms_norm_eps", default: 1e-6)), offset: 0),
      attentions: Array(repeating: LayerAttention(sizes.attention(), rotary), count: sizes.layerCount),
      mlp: .gated(width: sizes.mlpWidth, try reader.activation("hidden_act", default: "silu")), wiring: .sequential,
      logitSoftCap: nil, tiesHead: try reader.boolean("tie_word_embeddings", default: false),
      weights: WeightTable(
        sizes.commonWeights(
          attentionBias: attentionBias, outputBias: attentionBias,
          mlpBias: try reader.boolean("mlp_bias", default: false)), layerCount: sizes.layerCount, prefix: "model."),
      warnings: reader.warnings(family: "Llama"))
    try reader.refuseIfTrue("rope_interleaved")
    try reader.checkNothingIsLeft(besides: "is_llama_config transformers.js_config")
    return description
  }
}
