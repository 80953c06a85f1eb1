extension CPUOperations {
  /// Columns a thread takes at a time: a multiple of every OpenBLAS kernel's tile.
  private static let columnUnit = 64

  public func linear(y: Tensor, x: Tensor, weight: Tensor, bias: Tensor?, accumulate: Bool) {
    precondition(y.hasShape(x.rows, weight.rows) && x.columns == weight.columns)
    precondition(bias == nil || (!accumulate && bias!.count == weight.rows))
    // Threads take output columns, so that each packs its own part of the weight, which is larger than x.
    split(weight.rows, multiple: Self.columnUnit) { outputs in
      let y_ = y.address + outputs.lowerBound
      if let bias {
        for row in 0..<y.rows {
          (y_ + row * y.columns).update(from: bias.address + outputs.lowerBound, count: outputs.count)
        }
      }
      // y(N,out) = x(N,in) · W(out,in)ᵀ
      matrixProduct(
        x.rows, outputs.count, x.columns, x.address, x.columns, weight.address + outputs.lowerBound * weight.columns,
        weight.columns, transposedB: true, beta: accumulate || bias != nil ? 1 : 0, into: y_, y.columns)
    }
  }

  public func linearBackward(dx: Tensor, dy: Tensor, weight: Tensor, accumulate: Bool) {
    precondition(dx.hasShape(dy.rows, weight.columns) && dy.columns == weight.rows)
    split(weight.columns, multiple: Self.columnUnit) { inputs in
      // dx(N,in) = dy(N,out) · W(out,in)
      matrixProduct(
        dy.rows, inputs.count, dy.columns, dy.address, dy.columns, weight.address + inputs.lowerBound, weight.columns,
        beta: accumulate ? 1 : 0, into: dx.address + inputs.lowerBound, dx.columns)
    }
  }

  public func logits(_ logits: Tensor, x: Tensor, head: Tensor) {
    linear(y: logits, x: x, weight: head, bias: nil, accumulate: false)
  }
}
