import CVectorMath
import Glibc

/// Row by row and key by key, with the formulas of `CPUOperations`.
extension DoubleOperations {
  public func attention(
    output: Tensor, logSumExp: Tensor, query: Tensor, key: Tensor, value: Tensor, samples: PackedSamples,
    shape: AttentionShape
  ) {
    let N = samples.rowCount
    precondition(output.hasShape(N, shape.queryWidth) && query.hasShape(N, shape.queryWidth))
    precondition(key.hasShape(N, shape.keyValueWidth) && value.hasShape(N, shape.keyValueWidth))
    precondition(logSumExp.hasShape(N, 2 * shape.heads))
    let W = shape.headWidth
    output.doubles.update(repeating: 0, count: output.count)
    logSumExp.doubles.update(repeating: 0, count: logSumExp.count)
    forEachRow(samples, shape) { row, keys, head, keyHead in
      guard !keys.isEmpty else { return }
      let q = query.doubles(row: row) + head * W
      let scores = keys.map { shape.score(q, key.doubles(row: $0) + keyHead * W).value }
      let largest = scores.max()!
      let shares = scores.map { exp($0 - largest) }
      let total = shares.reduce(0, +)
      for (j, share) in zip(keys, shares) {
        vector_add_scaled_doubles(
          output.doubles(row: row) + head * W, value.doubles(row: j) + keyHead * W, W, share / total)
      }
      let L = logSumExp.doubles(row: row) + 2 * head
      (L[0], L[1]) = (largest, log(total))
    }
  }

  public func attentionBackward(
    dQuery: Tensor, dKey: Tensor, dValue: Tensor, dOutput: Tensor, output: Tensor, logSumExp: Tensor, query: Tensor,
    key: Tensor, value: Tensor, samples: PackedSamples, shape: AttentionShape
  ) {
    let N = samples.rowCount
    precondition([dQuery, dOutput, output, query].allSatisfy { $0.hasShape(N, shape.queryWidth) })
    precondition([dKey, dValue, key, value].allSatisfy { $0.hasShape(N, shape.keyValueWidth) })
    precondition(logSumExp.hasShape(N, 2 * shape.heads))
    let W = shape.headWidth
    for tensor in [dQuery, dKey, dValue] { tensor.doubles.update(repeating: 0, count: tensor.count) }
    forEachRow(samples, shape) { row, keys, head, keyHead in
      let (q, dO) = (query.doubles(row: row) + head * W, dOutput.doubles(row: row) + head * W)
      let L = logSumExp.doubles(row: row) + 2 * head
      let delta = vector_dot_doubles(dO, output.doubles(row: row) + head * W, W)
      for j in keys {
        let (k, v) = (key.doubles(row: j) + keyHead * W, value.doubles(row: j) + keyHead * W)
        let (score, slope) = shape.score(q, k)
        let share = exp(score - L[0] - L[1])
        let dScore = share * (vector_dot_doubles(dO, v, W) - delta) * slope * Double(shape.scale)
        vector_add_scaled_doubles(dValue.doubles(row: j) + keyHead * W, dO, W, share)
        vector_add_scaled_doubles(dQuery.doubles(row: row) + head * W, k, W, dScore)
        vector_add_scaled_doubles(dKey.doubles(row: j) + keyHead * W, q, W, dScore)
      }
    }
  }

  /// Shows every row and head with the rows of the keys that it sees; those that share keys on one thread.
  private func forEachRow(
    _ samples: PackedSamples, _ shape: AttentionShape,
    _ body: (_ row: Int, _ keys: Range<Int>, _ head: Int, _ keyHead: Int) -> Void
  ) {
    let group = shape.heads / shape.keyValueHeads
    team.run(samples.samples.count * shape.keyValueHeads) { task in
      let (sample, keyHead) = (samples.samples[task / shape.keyValueHeads], task % shape.keyValueHeads)
      let first = sample.rows.lowerBound
      for t in 0..<sample.rows.count {
        let seen = shape.keys(of: t, first: 0, count: sample.valid)
        for head in keyHead * group..<(keyHead + 1) * group {
          body(first + t, first + seen.lowerBound..<first + seen.upperBound, head, keyHead)
        }
      }
    }
  }
}

extension AttentionShape {
  /// What a row with query q makes of a key, and the cap's derivative there, 1 without a cap.
  fileprivate func score(
    _ q: UnsafePointer<Double>, _ k: UnsafePointer<Double>
  ) -> (value: Double, slope: Double) {
    let score = Double(scale) * vector_dot_doubles(q, k, headWidth)
    guard let softCap else { return (score, 1) }
    let t = tanh(score / Double(softCap))
    return (Double(softCap) * t, 1 - t * t)
  }
}
