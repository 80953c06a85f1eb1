/// The names under which most families keep their weights, as transformers' Linear modules have them.
extension DecoderSizes {
  /// - Parameters:
  ///   - model: what stands before the names of all but the head.
  ///   - attentionBias: whether queries, keys and values have biases; `outputBias` of attention's output likewise.
  func commonWeights(
    model: String = "model.", attentionBias: Bool, outputBias: Bool, mlpBias: Bool, biasesAreOptional: Bool = false
  ) -> [WeightSlot: WeightSource] {
    let (D, F, V) = (width, mlpWidth, vocabulary)
    let (Q, K) = (attention().queryWidth, attention().keyValueWidth)
    let layer = model + "layers.{layer}."
    var weights: [WeightSlot: WeightSource] = [
      .embedding: WeightSource(model + "embed_tokens.weight", [V, D]),
      .finalNorm: WeightSource(model + "norm.weight", [D]), .head: WeightSource("lm_head.weight", [V, D]),
      .attentionNorm: WeightSource(layer + "input_layernorm.weight", [D]),
      .mlpNorm: WeightSource(layer + "post_attention_layernorm.weight", [D]),
    ]
    for (slot, biasSlot, name, out, input, hasBias) in [
      (WeightSlot.query, WeightSlot.queryBias, "self_attn.q_proj", Q, D, attentionBias),
      (.key, .keyBias, "self_attn.k_proj", K, D, attentionBias),
      (.value, .valueBias, "self_attn.v_proj", K, D, attentionBias),
      (.attentionOutput, .attentionOutputBias, "self_attn.o_proj", D, Q, outputBias),
      (.gate, .gateBias, "mlp.gate_proj", F, D, mlpBias), (.up, .upBias, "mlp.up_proj", F, D, mlpBias),
      (.down, .downBias, "mlp.down_proj", D, F, mlpBias),
    ] {
      weights[slot] = WeightSource("\(layer)\(name).weight", [out, input])
      if hasBias { weights[biasSlot] = WeightSource("\(layer)\(name).bias", [out], isOptional: biasesAreOptional) }
    }
    return weights
  }

  /// Norms of queries and keys, head by head.
  func headNorms(model: String = "model.") -> [WeightSlot: WeightSource] {
    [
      .queryNorm: WeightSource(model + "layers.{layer}.self_attn.q_norm.weight", [headWidth!]),
      .keyNorm: WeightSource(model + "layers.{layer}.self_attn.k_norm.weight", [headWidth!]),
    ]
  }

  /// Norms before and behind attention and MLP, of which `post_attention_layernorm` is behind attention.
  func surroundingNorms(model: String = "model.") -> [WeightSlot: WeightSource] {
    let layer = model + "layers.{layer}."
    return [
      .attentionPostNorm: WeightSource(layer + "post_attention_layernorm.weight", [width]),
      .mlpNorm: WeightSource(layer + "pre_feedforward_layernorm.weight", [width]),
      .mlpPostNorm: WeightSource(layer + "post_feedforward_layernorm.weight", [width]),
    ]
  }
}
