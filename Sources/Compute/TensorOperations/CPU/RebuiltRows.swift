/// Rows around an autoencoder: those that it is given, and what is made of its output.
extension CPUOperations {
  public func gatherRows(_ y: Tensor, from x: Tensor, rows: [Int32]) {
    precondition(y.hasShape(rows.count, x.columns) && rows.allSatisfy { $0 >= 0 && $0 < x.rows })
    copyRows(to: y.address, from: x.address, columns: x.columns, rows)
  }

  public func replaceRows(_ y: Tensor, rows: [Int32], by x: Tensor) {
    precondition(x.hasShape(rows.count, y.columns) && rows.allSatisfy { $0 >= 0 && $0 < y.rows })
    split(rows.count) { places in
      for place in places {
        (y.address + Int(rows[place]) * y.columns).update(from: x.address + place * x.columns, count: x.columns)
      }
    }
  }

  public func normalizeInput(
    _ s: Tensor, scalings: Tensor, x: Tensor, _ normalization: InputNormalization, bias: Tensor?
  ) {
    precondition(s.hasShape(x.rows, x.columns) && scalings.hasShape(x.rows, InputNormalization.Scaling.columns))
    precondition(bias.map { $0.count == x.columns } ?? true)
    let D = x.columns
    split(x.rows) { rows in
      for row in rows {
        let (x_t, s_t, kept) = (x.address + row * D, s.address + row * D, scalings.scaling(row))
        let scaling = normalization.scaling(of: UnsafeBufferPointer(start: x_t, count: D))
        (kept[0], kept[1], kept[2]) = (scaling.shift, scaling.inputScale, scaling.outputScale)
        for i in 0..<D { s_t[i] = Float((Double(x_t[i]) - scaling.shift) * scaling.inputScale) }
        if let bias { for i in 0..<D { s_t[i] -= bias.address[i] } }
      }
    }
  }

  public func undoNormalization(_ y: Tensor, scalings: Tensor) {
    forEachRow(of: y, scalings) { y_t, shift, outputScale in
      for i in 0..<y.columns { y_t[i] = Float(Double(y_t[i]) * outputScale + shift) }
    }
  }

  public func scaleRows(_ y: Tensor, scalings: Tensor) {
    forEachRow(of: y, scalings) { y_t, _, outputScale in
      for i in 0..<y.columns { y_t[i] = Float(Double(y_t[i]) * outputScale) }
    }
  }

  private func forEachRow(
    of y: Tensor, _ scalings: Tensor,
    _ body: (UnsafeMutablePointer<Float>, _ shift: Double, _ outputScale: Double) -> Void
  ) {
    precondition(scalings.hasShape(y.rows, InputNormalization.Scaling.columns))
    split(y.rows) { rows in
      for row in rows {
        let scaling = scalings.scaling(row)
        body(y.address + row * y.columns, scaling[0], scaling[2])
      }
    }
  }

  /// In the rows' order, so that it does not matter how they are cut into passes.
  public func addReconstruction(to sums: Tensor, x: Tensor, rebuilt: Tensor) {
    let D = x.columns
    precondition(rebuilt.hasShape(x.rows, D) && sums.hasShape(1, ReconstructionSums.columns(width: D)))
    let numbers = sums.doubles
    var (squaredError, squaredNorm) = (numbers[0], numbers[1])
    let sum = numbers + 2
    for row in 0..<x.rows {
      let (x_t, y_t) = (x.address + row * D, rebuilt.address + row * D)
      for i in 0..<D {
        let (value, error) = (Double(x_t[i]), Double(x_t[i] - y_t[i]))
        squaredError += error * error
        squaredNorm += value * value
        sum[i] += value
      }
    }
    (numbers[0], numbers[1]) = (squaredError, squaredNorm)
  }
}

extension Tensor {
  /// Shift, input scale and output scale of a row.
  fileprivate func scaling(_ row: Int) -> UnsafeMutablePointer<Double> { doubles + row * 3 }
}
