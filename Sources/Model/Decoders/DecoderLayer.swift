import TensorOperations

/// The weights of one decoder layer, each (out, in) as PyTorch's Linear keeps them, and what is computed with them.
///
/// The layer is cut where places are: attention's heads, its output projection, the MLP. Each part's backward stands
/// under it.
struct DecoderLayer {
  private let number: Int
  private let description: DecoderDescription
  private let attention: LayerAttention
  private let attentionNorm: Norm
  private let query: Linear
  private let key: Linear
  private let value: Linear
  private let queryNorm: Norm?
  private let keyNorm: Norm?
  private let attentionOutput: Linear
  private let attentionPostNorm: Norm?
  private let mlpNorm: Norm
  private let gate: Linear?
  private let up: Linear
  private let down: Linear
  private let mlpPostNorm: Norm?

  init(_ number: Int, _ weights: WeightLoader) throws {
    self.number = number
    description = weights.checkpoint.description
    attention = description.attentions[number]
    attentionNorm = try weights.norm(.attentionNorm, bias: .attentionNormBias, number)
    query = try weights.linear(.query, bias: .queryBias, number)
    key = try weights.linear(.key, bias: .keyBias, number)
    value = try weights.linear(.value, bias: .valueBias, number)
    queryNorm = try weights.normIfThere(.queryNorm, number)
    keyNorm = try weights.normIfThere(.keyNorm, number)
    attentionOutput = try weights.linear(.attentionOutput, bias: .attentionOutputBias, number)
    attentionPostNorm = try weights.normIfThere(.attentionPostNorm, number)
    mlpNorm = try weights.norm(.mlpNorm, bias: .mlpNormBias, number)
    gate =
      switch description.mlp {
      case .gated: try weights.linear(.gate, bias: .gateBias, number)
      case .plain: nil
      }
    up = try weights.linear(.up, bias: .upBias, number)
    down = try weights.linear(.down, bias: .downBias, number)
    mlpPostNorm = try weights.normIfThere(.mlpPostNorm, number)
  }

  var matrices: [Matrix] {
    [query, key, value, attentionOutput, gate, up, down].compactMap { $0?.weight }
  }

  // MARK: - Attention

  /// From `saved.input`, resid_pre, to `saved.attention`, attn_z:
  ///
  ///     (q, k, v) = norm(resid_pre) · (W_q, W_k, W_v) + biases
  ///     attn_z    = attention(rotate(norm(q)), rotate(norm(k)), v), where queries and keys have norms, head by head
  ///
  /// HF: Attention.forward of each family's modeling file.
  func heads(_ saved: LayerActivations, _ pass: PassTensors) {
    let (ops, normalized) = (pass.operations, pass.workspace.normalized)
    attentionNorm.apply(y: normalized, statistics: saved.inputStatistics, x: saved.input, ops)
    Linear.apply(
      [(query, saved.rawQuery ?? saved.query), (key, saved.rawKey ?? saved.key), (value, saved.value)], x: normalized,
      ops)
    queryNorm?.applyToHeads(y: saved.query, statistics: saved.queryStatistics!, x: saved.rawQuery!, ops)
    keyNorm?.applyToHeads(y: saved.key, statistics: saved.keyStatistics!, x: saved.rawKey!, ops)
    rotate(saved.query, saved.key, pass, isBackward: false)
    ops.attention(
      output: saved.attention, logSumExp: saved.logSumExp, query: saved.query, key: saved.key, value: saved.value,
      samples: pass.input.samples, shape: attention.shape)
  }

  /// With `workspace.dAttention` the gradient at attn_z, adds to dx, the gradient at resid_pre without what goes through
  /// the heads:
  ///
  ///     dx += norm'(attention'(d attn_z) · (W_q, W_k, W_v)ᵀ)
  func headsBackward(dx: Tensor, _ saved: LayerActivations, _ pass: PassTensors) {
    let (ops, workspace) = (pass.operations, pass.workspace)
    let dNormalized = workspace.normalized
    ops.attentionBackward(
      dQuery: workspace.dQuery, dKey: workspace.dKey, dValue: workspace.dValue, dOutput: workspace.dAttention,
      output: saved.attention, logSumExp: saved.logSumExp, query: saved.query, key: saved.key, value: saved.value,
      samples: pass.input.samples, shape: attention.shape)
    switch pass.laterAttention {
    case .kept(let later): later.keep(number, workspace.dAttention)
    case .added(let later):
      later.add(
        number, toKey: workspace.dKey, value: workspace.dValue, key: saved.key, value: saved.value, attention.shape)
    case nil: break
    }
    rotate(workspace.dQuery, workspace.dKey, pass, isBackward: true)
    queryNorm?.backwardOfHeads(
      dx: workspace.dQuery, statistics: saved.queryStatistics!, x: saved.rawQuery!, ops)
    keyNorm?.backwardOfHeads(dx: workspace.dKey, statistics: saved.keyStatistics!, x: saved.rawKey!, ops)
    query.backward(dx: dNormalized, dy: workspace.dQuery, ops)
    key.backward(dx: dNormalized, dy: workspace.dKey, ops, accumulate: true)
    value.backward(dx: dNormalized, dy: workspace.dValue, ops, accumulate: true)
    attentionNorm.backward(dx: dx, dy: dNormalized, statistics: saved.inputStatistics, x: saved.input, ops)
  }

  /// Turns queries and keys, or their gradients back, in place.
  private func rotate(_ query: Tensor, _ key: Tensor, _ pass: PassTensors, isBackward: Bool) {
    guard case .halves(let inverseFrequencies) = attention.rotary else { return }
    for x in [query, key] {
      pass.operations.rotate(
        x: x, positions: pass.input.positions, headWidth: attention.shape.headWidth,
        inverseFrequencies: inverseFrequencies, isBackward: isBackward)
    }
  }

  /// attn_out = attn_z · W_o + b, behind a norm where there is one
  func attentionOutput(y: Tensor, _ saved: LayerActivations, _ pass: PassTensors) {
    attentionOutput.apply(y: saved.rawAttentionOutput ?? y, x: saved.attention, pass.operations)
    attentionPostNorm?.apply(
      y: y, statistics: saved.attentionOutputStatistics!, x: saved.rawAttentionOutput!, pass.operations)
  }

  /// resid_mid = resid_pre + attn_out, in `saved.middle`. Not one product that adds to the stream: that is larger than
  /// attn_out, and would round each of its sums.
  func addAttention(_ saved: LayerActivations, _ pass: PassTensors) {
    let (ops, middle) = (pass.operations, saved.middle!)
    ops.copy(middle, from: saved.input)
    attentionOutput(y: pass.workspace.mlpOutput, saved, pass)
    ops.add(middle, pass.workspace.mlpOutput)
  }

  /// From dx, the gradient at attn_out, to that at attn_z, in `workspace.dAttention`:
  ///
  ///     d attn_z = norm'(d attn_out) · W_oᵀ
  func attentionOutputBackward(dx: Tensor, _ saved: LayerActivations, _ pass: PassTensors) {
    var dOutput = dx
    if let attentionPostNorm {
      dOutput = pass.workspace.mlpOutput
      attentionPostNorm.backward(
        dx: dOutput, dy: dx, statistics: saved.attentionOutputStatistics!, x: saved.rawAttentionOutput!,
        pass.operations, accumulate: false)
    }
    attentionOutput.backward(dx: pass.workspace.dAttention, dy: dOutput, pass.operations)
  }

  // MARK: - MLP

  /// From x, what the MLP reads, to `workspace.mlpOutput`, mlp_out:
  ///
  ///     mlp_out = (f(n · W_gate) ∘ n · W_up) · W_down, or f(n · W_up) · W_down, with n = norm(x) and biases,
  ///
  /// behind a norm where there is one. HF: MLP.forward of each family's modeling file.
  func mlp(x: Tensor, _ saved: LayerActivations, _ pass: PassTensors) {
    let (ops, workspace) = (pass.operations, pass.workspace)
    mlpNorm.apply(y: workspace.normalized, statistics: saved.middleStatistics, x: x, ops)
    Linear.apply((gate.map { [($0, saved.gate!)] } ?? []) + [(up, saved.up)], x: workspace.normalized, ops)
    switch description.mlp {
    case .gated(_, let function): ops.activate(y: workspace.hidden, gate: saved.gate!, up: saved.up, by: function)
    case .plain(_, let function): ops.activate(y: workspace.hidden, gate: saved.up, up: nil, by: function)
    }
    down.apply(y: saved.rawMLPOutput ?? workspace.mlpOutput, x: workspace.hidden, ops)
    mlpPostNorm?.apply(y: workspace.mlpOutput, statistics: saved.mlpOutputStatistics!, x: saved.rawMLPOutput!, ops)
  }

  /// Adds to dx, the gradient at mlp_out and at the stream that it is added to, what makes it that at x, which the MLP
  /// read from the stream:
  ///
  ///     dx += norm'(activate'(norm'(d mlp_out) · W_downᵀ) · (W_gate, W_up)ᵀ)
  ///
  /// `saved.gate` and `saved.up` are overwritten.
  func mlpBackward(dx: Tensor, x: Tensor, _ saved: LayerActivations, _ pass: PassTensors) {
    let (ops, workspace) = (pass.operations, pass.workspace)
    let dNormalized = workspace.normalized
    var dOutput = dx
    if let mlpPostNorm {
      dOutput = workspace.mlpOutput
      mlpPostNorm.backward(
        dx: dOutput, dy: dx, statistics: saved.mlpOutputStatistics!, x: saved.rawMLPOutput!, ops, accumulate: false)
    }
    down.backward(dx: workspace.hidden, dy: dOutput, ops)
    switch description.mlp {
    case .gated(_, let function):
      ops.activateBackward(
        dGate: saved.gate!, dUp: saved.up, dy: workspace.hidden, gate: saved.gate!, up: saved.up, by: function)
      gate!.backward(dx: dNormalized, dy: saved.gate!, ops)
      up.backward(dx: dNormalized, dy: saved.up, ops, accumulate: true)
    case .plain(_, let function):
      ops.activateBackward(dGate: saved.up, dUp: nil, dy: workspace.hidden, gate: saved.up, up: nil, by: function)
      up.backward(dx: dNormalized, dy: saved.up, ops)
    }
    mlpNorm.backward(dx: dx, dy: dNormalized, statistics: saved.middleStatistics, x: x, ops)
  }
}
