import Glibc
import TensorOperations

/// Each operation in the most obvious way, in Double: no tiles, no running sums, nothing saved.
enum Oracle {
  static func normalize(_ x: [Double], _ w: [Double], _ bias: [Double]?, _ norm: Normalization) -> [Double] {
    let D = w.count
    return stride(from: 0, to: x.count, by: D).flatMap { row in
      let x_t = x[row..<row + D]
      switch norm {
      case .rms(_, let offset):
        let r = inverseDeviation(x_t, norm)
        return zip(x_t, w).map { $0 * r * ($1 + Double(offset)) }
      case .layer:
        let (mean, r) = (x_t.reduce(0, +) / Double(D), inverseDeviation(x_t, norm))
        return (0..<D).map { (x_t[row + $0] - mean) * r * w[$0] + (bias?[$0] ?? 0) }
      }
    }
  }

  /// What a norm multiplies a row by, but for its weight.
  static func inverseDeviation(_ x: some Collection<Double>, _ norm: Normalization) -> Double {
    let D = Double(x.count)
    switch norm {
    case .rms(let epsilon, _): return 1 / (dot(x, x) / D + Double(epsilon)).squareRoot()
    case .layer(let epsilon):
      let mean = x.reduce(0, +) / D
      return 1 / (x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / D + Double(epsilon)).squareRoot()
    }
  }

  /// y(N,out) = x(N,in) · W(out,in)ᵀ
  static func linear(_ x: [Double], _ w: [Double], inputs: Int, outputs: Int) -> [Double] {
    stride(from: 0, to: x.count, by: inputs).flatMap { row in
      (0..<outputs).map { o in dot(x[row..<row + inputs], w[o * inputs..<(o + 1) * inputs]) }
    }
  }

  /// The pairs (i, i + frequencies) of each head as complex numbers, times e^(i·angle). The angle is what HF's float32
  /// makes of it.
  static func rotate(
    _ x: [Double], width: Int, positions: [Int32], headWidth: Int, inverseFrequencies: [Double]
  ) -> [Double] {
    var y = x
    let half = inverseFrequencies.count
    for (t, position) in positions.enumerated() {
      for head in stride(from: t * width, to: (t + 1) * width, by: headWidth) {
        for i in 0..<half {
          let angle = Double(Float(position) * Float(inverseFrequencies[i]))
          let (a, b) = (x[head + i], x[head + i + half])
          y[head + i] = a * cos(angle) - b * sin(angle)
          y[head + i + half] = a * sin(angle) + b * cos(angle)
        }
      }
    }
    return y
  }

  static func activation(_ x: Double, _ function: ActivationFunction) -> Double {
    switch function {
    case .silu: x / (1 + exp(-x))
    case .gelu: x * erfc(-x / 2.0.squareRoot()) / 2
    case .geluTanh:
      // (1 + tanh z) / 2, which cancels where x is negative.
      x / (1 + exp(-2 * (2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x)))
    case .relu: max(x, 0)
    }
  }

  /// cap · tanh(x / cap) and its derivative; x and 1 without a cap.
  static func capped(_ x: Double, _ cap: Float?) -> (value: Double, slope: Double) {
    guard let cap = cap.map(Double.init) else { return (x, 1) }
    return (cap * tanh(x / cap), 1 / (cosh(x / cap) * cosh(x / cap)))
  }

  struct Attention {
    var output: [Double]
    /// (N, heads)
    var logSumExp: [Double]
  }

  /// A key that a row sees, counted within its sample; how much it looks at it; and how the score moves with q·k.
  typealias Look = (key: Int, p: Double, slope: Double)

  /// What is allowed to see what, and the probabilities that follow from it, row by row of a sample's head.
  static func looks(
    _ q: [Double], _ k: [Double], _ sample: PackedSamples.Sample, head: Int, _ shape: AttentionShape
  ) -> (rows: [[Look]], logSumExp: [Double]) {
    let W = shape.headWidth
    let keyHead = head / (shape.heads / shape.keyValueHeads)
    var rows: [[Look]] = []
    var logSumExp: [Double] = []
    for t in 0..<sample.rows.count {
      let q_t = vector(q, sample.rows.lowerBound + t, shape.queryWidth, head, W)
      let keys = (0...t).filter { $0 < sample.valid && t - $0 < shape.window ?? .max }
      let scores = keys.map { j in
        capped(
          Double(shape.scale) * dot(q_t, vector(k, sample.rows.lowerBound + j, shape.keyValueWidth, keyHead, W)),
          shape.softCap)
      }
      guard let largest = scores.map(\.value).max() else {
        rows.append([])
        logSumExp.append(0)
        continue
      }
      let sum = scores.reduce(0) { $0 + exp($1.value - largest) }
      rows.append(zip(keys, scores).map { ($0, exp($1.value - largest) / sum, $1.slope * Double(shape.scale)) })
      logSumExp.append(largest + log(sum))
    }
    return (rows, logSumExp)
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
        let (rows, logSumExp) = looks(q, k, sample, head: head, shape)
        for (t, looks) in rows.enumerated() {
          let row = sample.rows.lowerBound + t
          result.logSumExp[row * shape.heads + head] = logSumExp[t]
          for (j, p, _) in looks {
            let v_j = (sample.rows.lowerBound + j) * shape.keyValueWidth + keyHead * W
            for w in 0..<W { result.output[row * shape.queryWidth + head * W + w] += p * v[v_j + w] }
          }
        }
      }
    }
    return result
  }

  /// Softmax's Jacobian written out: dS[t,j] = P[t,j]·(dP[t,j] − Σ_i P[t,i]·dP[t,i]), times the score's slope.
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
        for (t, looks) in looks(q, k, sample, head: head, shape).rows.enumerated() {
          let q_t = (sample.rows.lowerBound + t) * Q + head * W
          let keys = looks.map { (sample.rows.lowerBound + $0.key) * K + keyHead * W }
          let dP = keys.map { v_j in dot(dOutput[q_t..<q_t + W], v[v_j..<v_j + W]) }
          let mean = dot(looks.map(\.p), dP)
          for (j, k_j) in keys.enumerated() {
            let dS = looks[j].p * (dP[j] - mean) * looks[j].slope
            for w in 0..<W {
              dq[q_t + w] += dS * k[k_j + w]
              dk[k_j + w] += dS * q[q_t + w]
              dv[k_j + w] += looks[j].p * dOutput[q_t + w]
            }
          }
        }
      }
    }
    return (dq, dk, dv)
  }

  /// −log softmax(x · Wᵀ)[target] of one row, its logits capped where there is a cap; 0 where there is no target.
  static func crossEntropy(
    _ x: some Collection<Double>, w: [Double], target: Int32, softCap: Float? = nil
  ) -> Double {
    guard target >= 0 else { return 0 }
    let z = logits(x, w, softCap).map(\.value)
    let (own, largest) = (z[Int(target)], z.max()!)
    guard own < largest else {
      return log1p(z.indices.reduce(0) { $1 == Int(target) ? $0 : $0 + exp(z[$1] - own) })
    }
    return largest + log(z.reduce(0) { $0 + exp($1 - largest) }) - own
  }

  private static func logits(
    _ x: some Collection<Double>, _ w: [Double], _ softCap: Float?
  ) -> [(value: Double, slope: Double)] {
    stride(from: 0, to: w.count, by: x.count).map { capped(dot(x, w[$0..<$0 + x.count]), softCap) }
  }

  /// Its gradient, Σ_{v ≠ target} p[v]·(h[v]·W[v] − h[target]·W[target]) with the cap's derivatives h: a sum in which
  /// nothing cancels where the target is all but certain.
  static func crossEntropyGradient(
    _ x: some Collection<Double>, w: [Double], target: Int32, softCap: Float? = nil
  ) -> [Double] {
    let (D, own) = (x.count, Int(target))
    var dx = [Double](repeating: 0, count: D)
    guard target >= 0 else { return dx }
    let z = logits(x, w, softCap)
    let largest = z.map(\.value).max()!
    let sum = z.reduce(0) { $0 + exp($1.value - largest) }
    for v in z.indices where v != own {
      let p = exp(z[v].value - largest) / sum
      for i in 0..<D { dx[i] += p * (z[v].slope * w[v * D + i] - z[own].slope * w[own * D + i]) }
    }
    return dx
  }
}
