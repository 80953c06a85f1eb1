import CVectorMath
import Glibc

extension CPUOperations {
  /// For each sample and head, with the keys j ≤ t of row t's window that are real tokens (0 without any):
  ///
  ///     S[t,j] = scale · q_t · k_j,  capped where there is a cap c: c · tanh(S[t,j] / c)
  ///     L[t] = log Σ_j e^S[t,j],   P = e^(S − L),   o_t = Σ_j P[t,j]·v_j
  ///
  /// Computed by tiles of keys with a running maximum and sum, as in FlashAttention (Dao et al. 2022, algorithm 1).
  /// L is kept as m + log Σ_j e^(S[t,j] − m), m the largest score, and S − m is computed in Double: real models have scores
  /// of hundreds, and one Float near 1000 is known to 3e-5, which would be the relative error of P.
  /// HF: modeling_gemma2.py, `eager_attention_forward` with `repeat_kv`; masking_utils.py, `sliding_window_overlay`.
  public func attention(
    output: Tensor, logSumExp: Tensor, query: Tensor, key: Tensor, value: Tensor, samples: PackedSamples,
    shape: AttentionShape
  ) {
    let N = samples.rowCount
    precondition(output.hasShape(N, shape.queryWidth) && query.hasShape(N, shape.queryWidth))
    precondition(key.hasShape(N, shape.keyValueWidth) && value.hasShape(N, shape.keyValueWidth))
    precondition(logSumExp.hasShape(N, 2 * shape.heads))
    let W = shape.headWidth
    let group = shape.heads / shape.keyValueHeads

    let tileBytes = scoreTile * scoreTile * MemoryLayout<Float>.stride
    let bytes = tileBytes + DoubleScores.bytes(headWidth: W)
    distribute(samples.samples.count * shape.heads, scratchBytes: bytes) { task, memory in
      let sample = samples.samples[task / shape.heads]
      let head = task % shape.heads
      let p = memory.assumingMemoryBound(to: Float.self)
      let scores = DoubleScores(memory + tileBytes, headWidth: W)
      let k = key.address + sample.rows.lowerBound * shape.keyValueWidth + head / group * W
      let v = value.address + sample.rows.lowerBound * shape.keyValueWidth + head / group * W
      for start in stride(from: 0, to: sample.rows.count, by: scoreTile) {
        let rows = min(scoreTile, sample.rows.count - start)
        let firstRow = sample.rows.lowerBound + start
        let q = query.address + firstRow * shape.queryWidth + head * W
        let o = output.address + firstRow * shape.queryWidth + head * W
        let (first, keys) = (shape.firstKey(of: start), min(start + rows, sample.valid))
        guard keys > first else {
          for row in 0..<rows {
            (o + row * shape.queryWidth).update(repeating: 0, count: W)
            (logSumExp.address + ((firstRow + row) * shape.heads + head) * 2).update(repeating: 0, count: 2)
          }
          continue
        }
        withUnsafeTemporaryAllocation(of: (maximum: Float, sum: Double).self, capacity: rows) { running in
          running.initialize(repeating: (-.infinity, 0))
          for firstKey in stride(from: first, to: keys, by: scoreTile) {
            let count = min(scoreTile, keys - firstKey)
            // S(rows,count) = scale · q(rows,W) · k(count,W)ᵀ
            scores.compute(
              rows: rows, count: count, firstRow: start - firstKey, q, k + firstKey * shape.keyValueWidth, shape)
            for row in 0..<rows {
              let seen = shape.keys(of: start + row, first: firstKey, count: count)
              if !seen.isEmpty {
                let (p_t, s_t) = (p + row * scoreTile + seen.lowerBound, scores.at(row, seen.lowerBound))
                vector_narrow_double(p_t, s_t, seen.count)
                if let softCap = shape.softCap { vector_soft_cap(p_t, nil, seen.count, softCap) }
                let largest = max(running[row].maximum, vector_maximum(p_t, seen.count))
                let correction = Glibc.exp(running[row].maximum - largest)
                let sum =
                  shape.softCap == nil
                  ? vector_exponentiate_doubles(p_t, s_t, seen.count, largest)
                  : vector_exponentiate(p_t, seen.count, largest)
                if firstKey > first, correction != 1 { vector_scale(o + row * shape.queryWidth, W, correction) }
                running[row] = (largest, running[row].sum * Double(correction) + sum)
              }
              clearOutside(p + row * scoreTile, outside: seen, count)
            }
            // o(rows,W) += P(rows,count) · v(count,W)
            matrixProduct(
              rows, W, count, p, scoreTile, v + firstKey * shape.keyValueWidth, shape.keyValueWidth,
              beta: firstKey > first ? 1 : 0, into: o, shape.queryWidth)
          }
          for row in 0..<rows {
            let L = logSumExp.address + ((firstRow + row) * shape.heads + head) * 2
            // Padding may be further than a window behind the last real token.
            let seesNone = running[row].sum == 0
            vector_scale(o + row * shape.queryWidth, W, seesNone ? 0 : Float(1 / running[row].sum))
            (L[0], L[1]) = seesNone ? (0, 0) : (running[row].maximum, Float(log(running[row].sum)))
          }
        }
      }
    }
  }

  /// P is computed again from L; with δ[t] = Σ_w do[t,w]·o[t,w] = Σ_j P[t,j]·dP[t,j]:
  ///
  ///     dv_j += Σ_t P[t,j]·do_t             dP[t,j] = do_t · v_j
  ///     dS    = P ∘ (dP − δ) · scale, times the cap's derivative 1 − tanh²(S / c)
  ///     dq_t += Σ_j dS[t,j]·k_j             dk_j   += Σ_t dS[t,j]·q_t
  ///
  /// A key head's gradient sums over the query heads that share it. FlashAttention, algorithm 4.
  public func attentionBackward(
    dQuery: Tensor, dKey: Tensor, dValue: Tensor, dOutput: Tensor, output: Tensor, logSumExp: Tensor, query: Tensor,
    key: Tensor, value: Tensor, samples: PackedSamples, shape: AttentionShape
  ) {
    let N = samples.rowCount
    precondition([dQuery, dOutput, output, query].allSatisfy { $0.hasShape(N, shape.queryWidth) })
    precondition([dKey, dValue, key, value].allSatisfy { $0.hasShape(N, shape.keyValueWidth) })
    precondition(logSumExp.hasShape(N, 2 * shape.heads))
    let W = shape.headWidth
    let group = shape.heads / shape.keyValueHeads
    let (qWidth, kWidth) = (shape.queryWidth, shape.keyValueWidth)

    // One task owns a key head of a sample, and with it all that is added to that head's gradients.
    let tasks = samples.samples.count * shape.keyValueHeads
    let tileBytes = (2 * scoreTile + 1) * scoreTile * MemoryLayout<Float>.stride
    distribute(tasks, scratchBytes: tileBytes + DoubleScores.bytes(headWidth: W)) { task, memory in
      let sample = samples.samples[task / shape.keyValueHeads]
      let kvHead = task % shape.keyValueHeads
      let p = memory.assumingMemoryBound(to: Float.self)
      let dS = p + scoreTile * scoreTile
      let slopes = dS + scoreTile * scoreTile
      let scores = DoubleScores(memory + tileBytes, headWidth: W)
      let kOffset = sample.rows.lowerBound * kWidth + kvHead * W
      let (k, v) = (key.address + kOffset, value.address + kOffset)
      let (dk, dv) = (dKey.address + kOffset, dValue.address + kOffset)
      for row in 0..<sample.rows.count {
        (dk + row * kWidth).update(repeating: 0, count: W)
        (dv + row * kWidth).update(repeating: 0, count: W)
      }
      for head in kvHead * group..<(kvHead + 1) * group {
        for start in stride(from: 0, to: sample.rows.count, by: scoreTile) {
          let rows = min(scoreTile, sample.rows.count - start)
          let firstRow = sample.rows.lowerBound + start
          let qOffset = firstRow * qWidth + head * W
          let (q, dq) = (query.address + qOffset, dQuery.address + qOffset)
          let (o, dO) = (output.address + qOffset, dOutput.address + qOffset)
          let (first, keys) = (shape.firstKey(of: start), min(start + rows, sample.valid))
          if keys <= first {
            for row in 0..<rows { (dq + row * qWidth).update(repeating: 0, count: W) }
          }
          for firstKey in stride(from: first, to: keys, by: scoreTile) {
            let count = min(scoreTile, keys - firstKey)
            // S(rows,count) = scale · q · kᵀ
            scores.compute(rows: rows, count: count, firstRow: start - firstKey, q, k + firstKey * kWidth, shape)
            // dP(rows,count) = do · vᵀ
            matrixProduct(
              rows, count, W, dO, qWidth, v + firstKey * kWidth, kWidth, transposedB: true, into: dS, scoreTile)
            for row in 0..<rows {
              let seen = shape.keys(of: start + row, first: firstKey, count: count)
              let (p_t, dS_t) = (p + row * scoreTile + seen.lowerBound, dS + row * scoreTile + seen.lowerBound)
              let L = logSumExp.address + ((firstRow + row) * shape.heads + head) * 2
              let s_t = scores.at(row, seen.lowerBound)
              if let softCap = shape.softCap {
                vector_narrow_double(p_t, s_t, seen.count)
                vector_soft_cap(p_t, slopes, seen.count, softCap)
                _ = vector_exponentiate(p_t, seen.count, L[0])
              } else {
                _ = vector_exponentiate_doubles(p_t, s_t, seen.count, L[0])
              }
              vector_scale(p_t, seen.count, Glibc.exp(-L[1]))
              let delta = Float(vector_dot(dO + row * qWidth, o + row * qWidth, W))
              vector_softmax_backward(dS_t, p_t, seen.count, delta, shape.scale)
              if shape.softCap != nil { vector_multiply(dS_t, slopes, seen.count) }
              clearOutside(p + row * scoreTile, outside: seen, count)
              clearOutside(dS + row * scoreTile, outside: seen, count)
            }
            // dv(count,W) += Pᵀ · do
            matrixProduct(
              count, W, rows, p, scoreTile, transposedA: true, dO, qWidth, beta: 1, into: dv + firstKey * kWidth, kWidth
            )
            // dq(rows,W) += dS · k
            matrixProduct(
              rows, W, count, dS, scoreTile, k + firstKey * kWidth, kWidth, beta: firstKey > first ? 1 : 0, into: dq,
              qWidth)
            // dk(count,W) += dSᵀ · q
            matrixProduct(
              count, W, rows, dS, scoreTile, transposedA: true, q, qWidth, beta: 1, into: dk + firstKey * kWidth, kWidth
            )
          }
        }
      }
    }
  }
}

/// Makes 0 of those of `count` numbers that are not in `kept`.
@inline(__always)
private func clearOutside(_ x: UnsafeMutablePointer<Float>, outside kept: Range<Int>, _ count: Int) {
  if kept.lowerBound > 0 { x.update(repeating: 0, count: kept.lowerBound) }
  if kept.upperBound < count { (x + kept.upperBound).update(repeating: 0, count: count - kept.upperBound) }
}
