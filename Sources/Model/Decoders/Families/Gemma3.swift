import JSON
import SystemIO
import TensorOperations

/// Gemma 3, text models and the text half of those that read images too.
///
/// HF: models/gemma3, configuration_gemma3.py and modeling_gemma3.py.
enum Gemma3 {
  /// A text model's. What is missing has the values of transformers' Gemma3TextConfig.
  ///
  /// - Throws: `Failure` of kind malformed that names the entry this code does not implement or does not know.
  static func textDescription(_ reader: ConfigurationReader) throws(Failure) -> DecoderDescription {
    try description(
      reader, model: "model.", renamed: [:], tiesHead: try reader.boolean("tie_word_embeddings", default: true))
  }

  /// That of a model which reads images: of its `text_config`, whose weights have names of their own.
  ///
  /// HF: conversion_mapping.py, "llava".
  static func description(_ reader: ConfigurationReader) throws(Failure) -> DecoderDescription {
    try reader.checkWholeModel()
    let text = reader.value("text_config") ?? .object([])
    guard text.members != nil else { throw reader.unsupported("text_config", "an object") }
    let textReader = reader.reader(of: text, at: "text_config")
    try textReader.require("model_type", toBe: "gemma3_text")
    // The model as a whole ties its head, and leaves out the cap of logits that a text model has.
    let tiesHead = try reader.boolean("tie_word_embeddings", default: true)
    if try textReader.boolean("tie_word_embeddings", default: tiesHead) != tiesHead {
      throw textReader.unsupported("tie_word_embeddings", "\(tiesHead), as it is beside text_config")
    }
    try textReader.refuse("final_logit_softcapping")
    let description = try description(
      textReader, model: "model.language_model.",
      renamed: ["language_model.lm_head.": "lm_head.", "language_model.model.": "model.language_model."],
      tiesHead: tiesHead)
    try reader.checkNothingIsLeft(
      besides: """
        model_type vision_config mm_tokens_per_image boi_token_index eoi_token_index image_token_index boi_token_id
        eoi_token_id image_token_id
        """)
    return description
  }

  private static func description(
    _ reader: ConfigurationReader, model: String, renamed: [String: String], tiesHead: Bool
  ) throws(Failure) -> DecoderDescription {
    try reader.checkWholeModel()
    let sizes = try reader.sizes(
      default: DecoderSizes(
        width: 2304, mlpWidth: 9216, layerCount: 26, vocabulary: 262_208, heads: 8, keyValueHeads: 4, headWidth: 256))
    let global = try rotary(reader, "full_attention", "rope_theta", default: 1e6, sizes)
    let local = try rotary(reader, "sliding_attention", "rope_local_base_freq", default: 1e4, sizes)
    let scale = Float(1 / (try reader.positive("query_pre_attn_scalar", default: 256)).squareRoot())
    let pattern = try reader.size("sliding_window_pattern", default: 6)
    let windows = try reader.windows(layerCount: sizes.layerCount) { ($0 + 1) % pattern != 0 }
    let attentionBias = try reader.boolean("attention_bias", default: false)
    let function = try reader.activation("hidden_activation", default: "gelu_pytorch_tanh")
    try reader.refuseOtherActivation("hidden_act", than: function)
    try reader.refuseIfTrue("use_bidirectional_attention")
    try reader.refuse("attn_logit_softcapping", ", which transformers' code of this family does not apply")
    let weights = sizes.commonWeights(
      model: model, attentionBias: attentionBias, outputBias: attentionBias, mlpBias: false)
    let description = DecoderDescription(
      family: "Gemma3", width: sizes.width, vocabularySize: sizes.vocabulary,
      embeddingScale: Float(Double(sizes.width).squareRoot()), learnedPositions: nil,
      norm: .rms(epsilon: Float(try reader.positive("rms_norm_eps", default: 1e-6)), offset: 1),
      attentions: windows.map {
        LayerAttention(sizes.attention(scale: scale, window: $0), $0 == nil ? global : local)
      }, mlp: .gated(width: sizes.mlpWidth, function), wiring: .sequential,
      logitSoftCap: try reader.positiveOrNull("final_logit_softcapping", default: nil).map { Float($0) },
      tiesHead: tiesHead,
      weights: WeightTable(
        weights.merging(sizes.surroundingNorms(model: model)) { $1 }.merging(sizes.headNorms(model: model)) { $1 },
        layerCount: sizes.layerCount, prefix: "model.", renamed: renamed,
        withoutEffect: ["vision_tower.", "multi_modal_projector."]), warnings: reader.warnings(family: "Gemma3"))
    try reader.checkNothingIsLeft(besides: "cache_implementation _sliding_window_pattern")
    return description
  }
}
