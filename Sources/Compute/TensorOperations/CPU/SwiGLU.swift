import CVectorMath

extension CPUOperations {
  /// y = silu(g) ∘ u,  silu(g) = g·σ(g),  σ(g) = 1 / (1 + e^−g)
  ///
  /// HF: Qwen2MLP.forward, `act_fn(gate_proj(x)) * up_proj(x)`.
  public func swiGLU(y: Tensor, gate: Tensor, up: Tensor) {
    precondition(y.hasShape(gate.rows, gate.columns) && up.hasShape(gate.rows, gate.columns))
    split(gate.count, multiple: 16) { range in
      let i = range.lowerBound
      vector_swiglu(y.address + i, gate.address + i, up.address + i, range.count)
    }
  }

  /// With s = σ(g):
  ///
  ///     du = dy ∘ g·s
  ///     dg = dy ∘ u ∘ s·(1 + g·(1 − s))
  public func swiGLUBackward(dGate: Tensor, dUp: Tensor, dy: Tensor, gate: Tensor, up: Tensor) {
    let (rows, columns) = (gate.rows, gate.columns)
    precondition(dGate.hasShape(rows, columns) && dUp.hasShape(rows, columns))
    precondition(dy.hasShape(rows, columns) && up.hasShape(rows, columns))
    split(gate.count, multiple: 16) { range in
      let i = range.lowerBound
      vector_swiglu_backward(
        dGate.address + i, dUp.address + i, dy.address + i, gate.address + i, up.address + i, range.count)
    }
  }
}
