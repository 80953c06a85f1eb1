import TensorOperations

/// The weights of one decoder layer, each (out, in) as PyTorch's Linear keeps them.
struct DecoderLayer {
  let inputNorm: Tensor
  let queryWeight: Matrix
  let queryBias: Tensor
  let keyWeight: Matrix
  let keyBias: Tensor
  let valueWeight: Matrix
  let valueBias: Tensor
  let outputWeight: Matrix
  let postAttentionNorm: Tensor
  let gateWeight: Matrix
  let upWeight: Matrix
  let downWeight: Matrix

  init(_ number: Int, _ configuration: QwenConfiguration, _ weights: WeightLoader) throws {
    let D = configuration.hiddenSize
    let (Q, K) = (configuration.attention.queryWidth, configuration.attention.keyValueWidth)
    let prefix = ModelTensors.layer(number)
    inputNorm = try weights.vector(prefix + "input_layernorm.weight", D)
    queryWeight = try weights.matrix(prefix + "self_attn.q_proj.weight")
    queryBias = try weights.vector(prefix + "self_attn.q_proj.bias", Q)
    keyWeight = try weights.matrix(prefix + "self_attn.k_proj.weight")
    keyBias = try weights.vector(prefix + "self_attn.k_proj.bias", K)
    valueWeight = try weights.matrix(prefix + "self_attn.v_proj.weight")
    valueBias = try weights.vector(prefix + "self_attn.v_proj.bias", K)
    outputWeight = try weights.matrix(prefix + "self_attn.o_proj.weight")
    postAttentionNorm = try weights.vector(prefix + "post_attention_layernorm.weight", D)
    gateWeight = try weights.matrix(prefix + "mlp.gate_proj.weight")
    upWeight = try weights.matrix(prefix + "mlp.up_proj.weight")
    downWeight = try weights.matrix(prefix + "mlp.down_proj.weight")
  }

  /// From `saved.input`, the residual stream before the layer, computes `saved.middle`, the residual stream between
  /// attention and MLP, and `workspace.mlpOutput`. The layer's output is the sum of these two.
  ///
  /// HF: modeling_qwen2.py, Qwen2DecoderLayer.forward.
  func forward(_ saved: LayerActivations, _ workspace: Workspace, _ batch: Batch, _ pass: Pass) {
    let ops = pass.operations
    let configuration = pass.configuration
    let (attention, theta) = (configuration.attention, configuration.ropeTheta)
    let normalized = workspace.normalized
    ops.rmsNorm(
      y: normalized, inverseRMS: saved.inputInverseRMS, x: saved.input, weight: inputNorm,
      epsilon: configuration.rmsNormEpsilon)
    ops.linear(y: saved.query, x: normalized, weight: queryWeight, bias: queryBias)
    ops.linear(y: saved.key, x: normalized, weight: keyWeight, bias: keyBias)
    ops.linear(y: saved.value, x: normalized, weight: valueWeight, bias: valueBias)
    ops.rotate(x: saved.query, positions: batch.positions, headWidth: attention.headWidth, theta: theta)
    ops.rotate(x: saved.key, positions: batch.positions, headWidth: attention.headWidth, theta: theta)
    ops.attention(
      output: saved.attention, logSumExp: saved.logSumExp, query: saved.query, key: saved.key, value: saved.value,
      samples: batch.samples, shape: attention)
    ops.copy(saved.middle, from: saved.input)
    ops.linear(y: saved.middle, x: saved.attention, weight: outputWeight, accumulate: true)

    ops.rmsNorm(
      y: normalized, inverseRMS: saved.middleInverseRMS, x: saved.middle, weight: postAttentionNorm,
      epsilon: configuration.rmsNormEpsilon)
    ops.linear(y: saved.gate, x: normalized, weight: gateWeight)
    ops.linear(y: saved.up, x: normalized, weight: upWeight)
    ops.swiGLU(y: workspace.hidden, gate: saved.gate, up: saved.up)
    ops.linear(y: workspace.mlpOutput, x: workspace.hidden, weight: downWeight)
  }

  /// With dx the gradient at the layer's output, which is also the gradient at its MLP's output, turns it into the
  /// gradient at the layer's input:
  ///
  ///     d middle = dx + rmsNorm'(swiGLU'(dx · W_down) · (W_gate, W_up))
  ///     d input  = d middle + rmsNorm'(attention'(d middle · W_o) · (W_q, W_k, W_v))
  ///
  /// `saved.gate` and `saved.up` are overwritten.
  func backward(dx: Tensor, _ saved: LayerActivations, _ workspace: Workspace, _ batch: Batch, _ pass: Pass) {
    let ops = pass.operations
    let configuration = pass.configuration
    let (attention, theta) = (configuration.attention, configuration.ropeTheta)
    let dNormalized = workspace.normalized
    ops.linearBackward(dx: workspace.hidden, dy: dx, weight: downWeight)
    ops.swiGLUBackward(dGate: saved.gate, dUp: saved.up, dy: workspace.hidden, gate: saved.gate, up: saved.up)
    ops.linearBackward(dx: dNormalized, dy: saved.gate, weight: gateWeight)
    ops.linearBackward(dx: dNormalized, dy: saved.up, weight: upWeight, accumulate: true)
    ops.rmsNormBackward(
      dx: dx, dy: dNormalized, x: saved.middle, weight: postAttentionNorm, inverseRMS: saved.middleInverseRMS)

    ops.linearBackward(dx: workspace.dAttention, dy: dx, weight: outputWeight)
    ops.attentionBackward(
      dQuery: workspace.dQuery, dKey: workspace.dKey, dValue: workspace.dValue, dOutput: workspace.dAttention,
      output: saved.attention, logSumExp: saved.logSumExp, query: saved.query, key: saved.key, value: saved.value,
      samples: batch.samples, shape: attention)
    ops.rotateBackward(
      dx: workspace.dQuery, positions: batch.positions, headWidth: attention.headWidth, theta: theta)
    ops.rotateBackward(dx: workspace.dKey, positions: batch.positions, headWidth: attention.headWidth, theta: theta)
    ops.linearBackward(dx: dNormalized, dy: workspace.dQuery, weight: queryWeight)
    ops.linearBackward(dx: dNormalized, dy: workspace.dKey, weight: keyWeight, accumulate: true)
    ops.linearBackward(dx: dNormalized, dy: workspace.dValue, weight: valueWeight, accumulate: true)
    ops.rmsNormBackward(
      dx: dx, dy: dNormalized, x: saved.input, weight: inputNorm, inverseRMS: saved.inputInverseRMS)
  }
}
