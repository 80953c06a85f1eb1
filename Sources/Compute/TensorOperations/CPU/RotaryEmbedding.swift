extension CPUOperations {
  /// With i in 0..<headWidth/2 and angle a of the row's position, the pair (x[i], x[i + headWidth/2]) turns by a:
  ///
  ///     y[i]        = x[i]·cos a − x[i+half]·sin a
  ///     y[i + half] = x[i+half]·cos a + x[i]·sin a
  ///
  /// HF: modeling_qwen2.py, `apply_rotary_pos_emb` with `rotate_half`.
  public func rotate(x: Tensor, positions: [Int32], headWidth: Int, theta: Double, isBackward: Bool) {
    let direction: Float = isBackward ? -1 : 1
    precondition(positions.count == x.rows && x.columns % headWidth == 0)
    let half = headWidth / 2
    let table = rotationTable(headWidth: headWidth, theta: theta, positions: Int(positions.max() ?? 0) + 1)
    table.cosines.withUnsafeBufferPointer { cosines in
      table.sines.withUnsafeBufferPointer { sines in
        split(x.rows) { rows in
          for t in rows {
            let c = cosines.baseAddress! + Int(positions[t]) * half
            let s = sines.baseAddress! + Int(positions[t]) * half
            for head in 0..<x.columns / headWidth {
              let low = x.address + t * x.columns + head * headWidth
              let high = low + half
              for i in 0..<half {
                let a = low[i]
                let b = high[i]
                let sine = direction * s[i]
                low[i] = a * c[i] - b * sine
                high[i] = b * c[i] + a * sine
              }
            }
          }
        }
      }
    }
  }

  private func rotationTable(headWidth: Int, theta: Double, positions: Int) -> RotationTable {
    if let rotations, rotations.serves(headWidth: headWidth, theta: theta, positions: positions) { return rotations }
    let table = RotationTable(headWidth: headWidth, theta: theta, positions: max(positions, 128))
    rotations = table
    return table
  }
}
