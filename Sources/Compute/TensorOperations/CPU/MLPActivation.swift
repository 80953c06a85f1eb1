import CVectorMath

extension CPUOperations {
  /// y = f(g) ∘ u, or f(g). HF: Qwen2MLP.forward, `act_fn(gate_proj(x)) * up_proj(x)`; GPT2MLP.forward, `act(x)`.
  public func activate(y: Tensor, gate: Tensor, up: Tensor?, by function: ActivationFunction) {
    precondition(y.hasShape(gate.rows, gate.columns) && up?.hasShape(gate.rows, gate.columns) ?? true)
    split(gate.count, multiple: 16) { range in
      let i = range.lowerBound
      vector_activate(y.address + i, gate.address + i, up.map { $0.address + i }, range.count, function.rawValue)
    }
  }

  ///     du = dy ∘ f(g)
  ///     dg = dy ∘ u ∘ f'(g), or dy ∘ f'(g)
  public func activateBackward(
    dGate: Tensor, dUp: Tensor?, dy: Tensor, gate: Tensor, up: Tensor?, by function: ActivationFunction
  ) {
    let (rows, columns) = (gate.rows, gate.columns)
    precondition(dGate.hasShape(rows, columns) && dy.hasShape(rows, columns) && (dUp == nil) == (up == nil))
    precondition(dUp?.hasShape(rows, columns) ?? true && up?.hasShape(rows, columns) ?? true)
    split(gate.count, multiple: 16) { range in
      let i = range.lowerBound
      vector_activate_backward(
        dGate.address + i, dUp.map { $0.address + i }, dy.address + i, gate.address + i, up.map { $0.address + i },
        range.count, function.rawValue)
    }
  }
}
