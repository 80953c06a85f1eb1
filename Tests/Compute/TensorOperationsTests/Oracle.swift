import Glibc
import TensorOperations

/// Each operation in the most obvious way, in Double: no tiles, no running sums, nothing saved.
enum Oracle {
  static func rmsNorm(_ x: [Double], _ w: [Double], epsilon: Double) -> [Double] {
    let D = w.count
    return stride(from: 0, to: x.count, by: D).flatMap { row in
      let x_t = x[row..<row + D]
      let r = 1 / (dot(x_t, x_t) / Double(D) + epsilon).squareRoot()
      return zip(x_t, w).map { $0 * r * $1 }
    }
  }

  /// y(N,out) = x(N,in) · W(out,in)ᵀ
  static func linear(_ x: [Double], _ w: [Double], inputs: Int, outputs: Int) -> [Double] {
    stride(from: 0, to: x.count, by: inputs).flatMap { row in
      (0..<outputs).map { o in dot(x[row..<row + inputs], w[o * inputs..<(o + 1) * inputs]) }
    }
  }

  /// The pairs (i, i + headWidth/2) as complex numbers, times e^(i·angle). The angle is what HF's float32 makes of it.
  static func rotate(_ x: [Double], width: Int, positions: [Int32], headWidth: Int, theta: Double) -> [Double] {
    var y = x
    let half = headWidth / 2
    for (t, position) in positions.enumerated() {
      for head in stride(from: t * width, to: (t + 1) * width, by: headWidth) {
        for i in 0..<half {
          let frequency = 1 / Float(pow(theta, Double(Float(2 * i) / Float(headWidth))))
          let angle = Double(Float(position) * frequency)
          let (a, b) = (x[head + i], x[head + i + half])
          y[head + i] = a * cos(angle) - b * sin(angle)
          y[head + i + half] = a * sin(angle) + b * cos(angle)
        }
      }
    }
    return y
  }

  static func silu(_ g: Double) -> Double { g / (1 + exp(-g)) }

  struct Attention {
    var output: [Double]
    /// (N, heads)
    var logSumExp: [Double]
  }

  /// What is allowed to see what, and the probabilities that follow from it: P[t, j] of a sample's head.
  static func probabilities(
    _ q: [Double], _ k: [Double], _ sample: PackedSamples.Sample, head: Int, _ shape: AttentionShape
  ) -> (P: [[Double]], logSumExp: [Double]) {
    let W = shape.headWidth
    let keyHead = head / (shape.heads / shape.keyValueHeads)
    var P: [[Double]] = []
    var logSumExp: [Double] = []
    for t in 0..<sample.rows.count {
      let q_t = vector(q, sample.rows.lowerBound + t, shape.queryWidth, head, W)
      let scores = (0...t).filter { $0 < sample.valid }.map { j in
        dot(q_t, vector(k, sample.rows.lowerBound + j, shape.keyValueWidth, keyHead, W)) / Double(W).squareRoot()
      }
      guard let largest = scores.max() else {
        P.append([])
        logSumExp.append(0)
        continue
      }
      let sum = scores.reduce(0) { $0 + exp($1 - largest) }
      P.append(scores.map { exp($0 - largest) / sum })
      logSumExp.append(largest + log(sum))
    }
    return (P, logSumExp)
  }

  private static func vector(_ x: [Double], _ row: Int, _ width: Int, _ head: Int, _ W: Int) -> ArraySlice<Double> {
    x[row * width + head * W..<row * width + (head + 1) * W]
  }

  static func attention(
    _ q: [Double], _ k: [Double], _ v: [Double], _ samples: PackedSamples, _ shape: AttentionShape
  ) -> Attention {
    let W = shape.headWidth
    let N = samples.rowCount
    var result = Attention(
      output: Array(repeating: 0, count: N * shape.queryWidth), logSumExp: Array(repeating: 0, count: N * shape.heads))
    for sample in samples.samples {
      for head in 0..<shape.heads {
        let keyHead = head / (shape.heads / shape.keyValueHeads)
        let (P, logSumExp) = probabilities(q, k, sample, head: head, shape)
        for (t, P_t) in P.enumerated() {
          let row = sample.rows.lowerBound + t
          result.logSumExp[row * shape.heads + head] = logSumExp[t]
          for (j, p) in P_t.enumerated() {
            let v_j = (sample.rows.lowerBound + j) * shape.keyValueWidth + keyHead * W
            for w in 0..<W { result.output[row * shape.queryWidth + head * W + w] += p * v[v_j + w] }
          }
        }
      }
    }
    return result
  }

  /// Softmax's Jacobian written out: dS[t,j] = P[t,j]·(dP[t,j] − Σ_i P[t,i]·dP[t,i]).
  static func attentionBackward(
    dOutput: [Double], _ q: [Double], _ k: [Double], _ v: [Double], _ samples: PackedSamples, _ shape: AttentionShape
  ) -> (dq: [Double], dk: [Double], dv: [Double]) {
    let W = shape.headWidth
    let (Q, K) = (shape.queryWidth, shape.keyValueWidth)
    var dq = Array(repeating: 0.0, count: q.count)
    var dk = Array(repeating: 0.0, count: k.count)
    var dv = Array(repeating: 0.0, count: v.count)
    for sample in samples.samples {
      for head in 0..<shape.heads {
        let keyHead = head / (shape.heads / shape.keyValueHeads)
        let P = probabilities(q, k, sample, head: head, shape).P
        for (t, P_t) in P.enumerated() {
          let q_t = (sample.rows.lowerBound + t) * Q + head * W
          let keys = P_t.indices.map { (sample.rows.lowerBound + $0) * K + keyHead * W }
          let dP = keys.map { v_j in dot(dOutput[q_t..<q_t + W], v[v_j..<v_j + W]) }
          let mean = dot(P_t, dP)
          for (j, k_j) in keys.enumerated() {
            let dS = P_t[j] * (dP[j] - mean) / Double(W).squareRoot()
            for w in 0..<W {
              dq[q_t + w] += dS * k[k_j + w]
              dk[k_j + w] += dS * q[q_t + w]
              dv[k_j + w] += P_t[j] * dOutput[q_t + w]
            }
          }
        }
      }
    }
    return (dq, dk, dv)
  }

  /// −log softmax(x · Wᵀ)[target] of one row, 0 where there is no target.
  static func crossEntropy(_ x: some Collection<Double>, w: [Double], target: Int32) -> Double {
    guard target >= 0 else { return 0 }
    let z = stride(from: 0, to: w.count, by: x.count).map { dot(x, w[$0..<$0 + x.count]) }
    let largest = z.max()!
    return largest + log(z.reduce(0) { $0 + exp($1 - largest) }) - z[Int(target)]
  }
}
