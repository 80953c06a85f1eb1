extension CPUOperations {
  /// y = silu(g) ∘ u,  silu(g) = g·σ(g),  σ(g) = 1 / (1 + e^−g)
  ///
  /// HF: Qwen2MLP.forward, `act_fn(gate_proj(x)) * up_proj(x)`.
  public func swiGLU(y: Tensor, gate: Tensor, up: Tensor) {
    precondition(y.hasShape(gate.rows, gate.columns) && up.hasShape(gate.rows, gate.columns))
    split(gate.count, multiple: 16) { range in
      forEachLanes(range) { i, count in
        let g = count == 16 ? load(gate.address + i) : load(gate.address + i, first: count)
        let u = count == 16 ? load(up.address + i) : load(up.address + i, first: count)
        let result = g / (Float(1) + exp(-g)) * u
        if count == 16 { store(result, y.address + i) } else { store(result, y.address + i, first: count) }
      }
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
      forEachLanes(range) { i, count in
        let g = count == 16 ? load(gate.address + i) : load(gate.address + i, first: count)
        let u = count == 16 ? load(up.address + i) : load(up.address + i, first: count)
        let d = count == 16 ? load(dy.address + i) : load(dy.address + i, first: count)
        let s = Float(1) / (Float(1) + exp(-g))
        let du = d * (g * s)
        let dg = d * u * (s * (Float(1) + g * (Float(1) - s)))
        if count == 16 {
          store(dg, dGate.address + i)
          store(du, dUp.address + i)
        } else {
          store(dg, dGate.address + i, first: count)
          store(du, dUp.address + i, first: count)
        }
      }
    }
  }

  /// Calls `body` with the start of every 16 of `range` and then with what is left over.
  @inline(__always)
  private func forEachLanes(_ range: Range<Int>, _ body: (Int, Int) -> Void) {
    var i = range.lowerBound
    while i + 16 <= range.upperBound {
      body(i, 16)
      i += 16
    }
    if i < range.upperBound { body(i, range.upperBound - i) }
  }
}
