import TensorOperations

/// The weights of one decoder layer, each (out, in) as PyTorch's Linear keeps them, and what is computed with them.
///
/// The layer is cut where places are: attention's heads, its output projection, the MLP. Each part's backward stands
/// under it.
struct DecoderLayer {
  private let description: DecoderDescription
  private let attentionNorm: Tensor
  private let queryWeight: Matrix
  private let queryBias: Tensor?
  private let keyWeight: Matrix
  private let keyBias: Tensor?
  private let valueWeight: Matrix
  private let valueBias: Tensor?
  private let outputWeight: Matrix
  private let mlpNorm: Tensor
  private let gateWeight: Matrix
  private let upWeight: Matrix
  private let downWeight: Matrix

  init(_ number: Int, _ weights: WeightLoader) throws {
    description = weights.checkpoint.description
    attentionNorm = try weights.vector(.attentionNorm, number)
    queryWeight = try weights.matrix(.query, number)
    queryBias = try weights.bias(.queryBias, number)
    keyWeight = try weights.matrix(.key, number)
    keyBias = try weights.bias(.keyBias, number)
    valueWeight = try weights.matrix(.value, number)
    valueBias = try weights.bias(.valueBias, number)
    outputWeight = try weights.matrix(.attentionOutput, number)
    mlpNorm = try weights.vector(.mlpNorm, number)
    gateWeight = try weights.matrix(.gate, number)
    upWeight = try weights.matrix(.up, number)
    downWeight = try weights.matrix(.down, number)
  }

  // MARK: - Attention

  /// From `saved.input`, resid_pre, to `saved.attention`, attn_z:
  ///
  ///     (q, k, v) = norm(resid_pre) · (W_q, W_k, W_v) + biases;  attn_z = attention(rotate(q), rotate(k), v)
  ///
  /// HF: modeling_qwen2.py, Qwen2Attention.forward.
  func heads(_ saved: LayerActivations, _ pass: PassTensors) {
    let (ops, workspace) = (pass.operations, pass.workspace)
    ops.normalize(
      y: workspace.normalized, statistics: saved.inputStatistics, x: saved.input, weight: attentionNorm, bias: nil,
      description.norm)
    ops.linear(y: saved.query, x: workspace.normalized, weight: queryWeight, bias: queryBias)
    ops.linear(y: saved.key, x: workspace.normalized, weight: keyWeight, bias: keyBias)
    ops.linear(y: saved.value, x: workspace.normalized, weight: valueWeight, bias: valueBias)
    for x in [saved.query, saved.key] {
      ops.rotate(x: x, positions: pass.input.positions, description.rotary, description.attention)
    }
    ops.attention(
      output: saved.attention, logSumExp: saved.logSumExp, query: saved.query, key: saved.key, value: saved.value,
      samples: pass.input.samples, shape: description.attention)
  }

  /// With `workspace.dAttention` the gradient at attn_z, adds to dx, the gradient at resid_mid, what makes it that at
  /// resid_pre:
  ///
  ///     d resid_pre = d resid_mid + norm'(attention'(d attn_z) · (W_q, W_k, W_v)ᵀ)
  func headsBackward(dx: Tensor, _ saved: LayerActivations, _ pass: PassTensors) {
    let (ops, workspace) = (pass.operations, pass.workspace)
    let dNormalized = workspace.normalized
    ops.attentionBackward(
      dQuery: workspace.dQuery, dKey: workspace.dKey, dValue: workspace.dValue, dOutput: workspace.dAttention,
      output: saved.attention, logSumExp: saved.logSumExp, query: saved.query, key: saved.key, value: saved.value,
      samples: pass.input.samples, shape: description.attention)
    for dx in [workspace.dQuery, workspace.dKey] {
      ops.rotateBackward(dx: dx, positions: pass.input.positions, description.rotary, description.attention)
    }
    ops.linearBackward(dx: dNormalized, dy: workspace.dQuery, weight: queryWeight)
    ops.linearBackward(dx: dNormalized, dy: workspace.dKey, weight: keyWeight, accumulate: true)
    ops.linearBackward(dx: dNormalized, dy: workspace.dValue, weight: valueWeight, accumulate: true)
    ops.normalizeBackward(
      dx: dx, dy: dNormalized, statistics: saved.inputStatistics, x: saved.input, weight: attentionNorm,
      description.norm, accumulate: true)
  }

  /// attn_out = attn_z · W_o
  func attentionOutput(y: Tensor, _ saved: LayerActivations, _ pass: PassTensors) {
    pass.operations.linear(y: y, x: saved.attention, weight: outputWeight)
  }

  /// resid_mid = resid_pre + attn_out, in `saved.middle`, without attn_out ever being there.
  func addAttention(_ saved: LayerActivations, _ pass: PassTensors) {
    pass.operations.copy(saved.middle, from: saved.input)
    pass.operations.linear(y: saved.middle, x: saved.attention, weight: outputWeight, accumulate: true)
  }

  /// From dx, the gradient at resid_mid and at attn_out, to that at attn_z, in `workspace.dAttention`:
  ///
  ///     d attn_z = d attn_out · W_oᵀ
  func attentionOutputBackward(dx: Tensor, _ pass: PassTensors) {
    pass.operations.linearBackward(dx: pass.workspace.dAttention, dy: dx, weight: outputWeight)
  }

  // MARK: - MLP

  /// From `saved.middle`, resid_mid, to `workspace.mlpOutput`, mlp_out:
  ///
  ///     mlp_out = (silu(x · W_gate) ∘ x · W_up) · W_down  with x = norm(resid_mid)
  ///
  /// HF: modeling_qwen2.py, Qwen2MLP.forward.
  func mlp(_ saved: LayerActivations, _ pass: PassTensors) {
    let (ops, workspace) = (pass.operations, pass.workspace)
    ops.normalize(
      y: workspace.normalized, statistics: saved.middleStatistics, x: saved.middle, weight: mlpNorm, bias: nil,
      description.norm)
    switch description.mlp {
    case .swiGLU:
      ops.linear(y: saved.gate, x: workspace.normalized, weight: gateWeight)
      ops.linear(y: saved.up, x: workspace.normalized, weight: upWeight)
      ops.activate(y: workspace.hidden, gate: saved.gate, up: saved.up, by: .silu)
      ops.linear(y: workspace.mlpOutput, x: workspace.hidden, weight: downWeight)
    }
  }

  /// Adds to dx, the gradient at resid_post and at mlp_out, what makes it that at resid_mid:
  ///
  ///     d resid_mid = d resid_post + norm'(swiGLU'(d mlp_out · W_downᵀ) · (W_gate, W_up)ᵀ)
  ///
  /// `saved.gate` and `saved.up` are overwritten.
  func mlpBackward(dx: Tensor, _ saved: LayerActivations, _ pass: PassTensors) {
    let (ops, workspace) = (pass.operations, pass.workspace)
    let dNormalized = workspace.normalized
    switch description.mlp {
    case .swiGLU:
      ops.linearBackward(dx: workspace.hidden, dy: dx, weight: downWeight)
      ops.activateBackward(
        dGate: saved.gate, dUp: saved.up, dy: workspace.hidden, gate: saved.gate, up: saved.up, by: .silu)
      ops.linearBackward(dx: dNormalized, dy: saved.gate, weight: gateWeight)
      ops.linearBackward(dx: dNormalized, dy: saved.up, weight: upWeight, accumulate: true)
    }
    ops.normalizeBackward(
      dx: dx, dy: dNormalized, statistics: saved.middleStatistics, x: saved.middle, weight: mlpNorm, description.norm,
      accumulate: true)
  }
}

extension TensorOperations {
  /// Turns queries or keys in place.
  func rotate(x: Tensor, positions: [Int32], _ rotary: RotaryEmbedding, _ shape: AttentionShape) {
    rotate(
      x: x, positions: positions, headWidth: shape.headWidth,
      inverseFrequencies: rotary.inverseFrequencies(headWidth: shape.headWidth))
  }

  /// Turns their gradients back.
  func rotateBackward(dx: Tensor, positions: [Int32], _ rotary: RotaryEmbedding, _ shape: AttentionShape) {
    rotateBackward(
      dx: dx, positions: positions, headWidth: shape.headWidth,
      inverseFrequencies: rotary.inverseFrequencies(headWidth: shape.headWidth))
  }
}
