import CVectorMath

extension CPUOperations {
  /// With half = inverseFrequencies.count, i in 0..<half and the angle a of the row's position and of i, the pair
  /// (x[i], x[i + half]) of each head turns by a; what stands behind the pairs stays:
  ///
  ///     y[i]        = x[i]·cos a − x[i+half]·sin a
  ///     y[i + half] = x[i+half]·cos a + x[i]·sin a
  ///
  /// HF: modeling_qwen2.py and modeling_gpt_neox.py, `apply_rotary_pos_emb` with `rotate_half`.
  public func rotate(
    x: Tensor, positions: [Int32], headWidth: Int, inverseFrequencies: [Double], isBackward: Bool
  ) {
    let half = inverseFrequencies.count
    precondition(positions.count == x.rows && x.columns % headWidth == 0 && 2 * half <= headWidth)
    let table = rotationTable(inverseFrequencies, positions: Int(positions.max() ?? 0) + 1)
    table.cosines.withUnsafeBufferPointer { cosines in
      table.sines.withUnsafeBufferPointer { sines in
        split(x.rows) { rows in
          for t in rows {
            let c = cosines.baseAddress! + Int(positions[t]) * half
            let s = sines.baseAddress! + Int(positions[t]) * half
            for head in 0..<x.columns / headWidth {
              let low = x.address + t * x.columns + head * headWidth
              vector_rotate(low, low + half, c, s, half, isBackward ? -1 : 1)
            }
          }
        }
      }
    }
  }

  private func rotationTable(_ inverseFrequencies: [Double], positions: Int) -> RotationTable {
    if let table = rotations[inverseFrequencies], table.positions >= positions { return table }
    let table = RotationTable(inverseFrequencies: inverseFrequencies, positions: max(positions, 128))
    rotations[inverseFrequencies] = table
    return table
  }
}
