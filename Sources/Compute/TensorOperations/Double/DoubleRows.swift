import Glibc

/// What is computed row by row, with the formulas of `CPUOperations`.
extension DoubleOperations {
  public func normalize(
    y: Tensor, statistics: Tensor, x: Tensor, weight: Tensor, bias: Tensor?, _ norm: Normalization
  ) {
    let D = x.columns
    precondition(y.hasShape(x.rows, D) && statistics.count == x.rows && weight.count == D)
    precondition(bias.map { $0.count == D } ?? true)
    let w = weight.doubles
    forEachRow(x.rows) { t in
      let (x_t, y_t) = (x.doubles(row: t), y.doubles(row: t))
      let (mean, offset, epsilon) = norm.terms(x_t, D)
      let r = 1 / (sum(D) { (x_t[$0] - mean) * (x_t[$0] - mean) } / Double(D) + epsilon).squareRoot()
      statistics.doubles[t] = r
      for i in 0..<D { y_t[i] = (w[i] + offset) * ((x_t[i] - mean) * r) + (bias.map { $0.doubles[i] } ?? 0) }
    }
  }

  public func normalizeBackward(
    dx: Tensor, dy: Tensor, statistics: Tensor, x: Tensor, weight: Tensor, _ norm: Normalization, accumulate: Bool
  ) {
    let D = x.columns
    precondition(dx.hasShape(x.rows, D) && dy.hasShape(x.rows, D))
    precondition(statistics.count == x.rows && weight.count == D)
    let w = weight.doubles
    forEachRow(x.rows) { t in
      let (x_t, dx_t, dy_t) = (x.doubles(row: t), dx.doubles(row: t), dy.doubles(row: t))
      let (mean, offset, _) = norm.terms(x_t, D)
      let r = statistics.doubles[t]
      let c = r * r * r / Double(D) * sum(D) { (w[$0] + offset) * dy_t[$0] * (x_t[$0] - mean) }
      let average =
        switch norm {
        case .rms: 0.0
        case .layer: sum(D) { w[$0] * dy_t[$0] } / Double(D)
        }
      for i in 0..<D {
        let change = r * ((w[i] + offset) * dy_t[i] - average) - c * (x_t[i] - mean)
        dx_t[i] = (accumulate ? dx_t[i] : 0) + change
      }
    }
  }

  public func rotate(
    x: Tensor, positions: [Int32], headWidth: Int, inverseFrequencies: [Double], isBackward: Bool
  ) {
    let half = inverseFrequencies.count
    precondition(positions.count == x.rows && x.columns % headWidth == 0 && 2 * half <= headWidth)
    let needed = Int(positions.max() ?? 0) + 1
    if rotations[inverseFrequencies].map({ $0.positions < needed }) ?? true {
      rotations[inverseFrequencies] = RotationTable(
        inverseFrequencies: inverseFrequencies, positions: max(needed, 128))
    }
    let table = rotations[inverseFrequencies]!
    forEachRow(x.rows) { t in
      for head in 0..<x.columns / headWidth {
        let low = x.doubles(row: t) + head * headWidth
        let high = low + half
        for i in 0..<half {
          let angle = Int(positions[t]) * half + i
          let (a, b) = (low[i], high[i])
          let (cosine, sine) = (
            Double(table.cosines[angle]), Double(isBackward ? -table.sines[angle] : table.sines[angle])
          )
          low[i] = a * cosine - b * sine
          high[i] = b * cosine + a * sine
        }
      }
    }
  }

  public func activate(y: Tensor, gate: Tensor, up: Tensor?, by function: ActivationFunction) {
    precondition(y.hasShape(gate.rows, gate.columns) && up?.hasShape(gate.rows, gate.columns) ?? true)
    let width = gate.columns
    forEachRow(gate.rows) { row in
      for i in row * width..<(row + 1) * width {
        y.doubles[i] = function.at(gate.doubles[i]).value * (up.map { $0.doubles[i] } ?? 1)
      }
    }
  }

  public func activateBackward(
    dGate: Tensor, dUp: Tensor?, dy: Tensor, gate: Tensor, up: Tensor?, by function: ActivationFunction
  ) {
    let (rows, columns) = (gate.rows, gate.columns)
    precondition(dGate.hasShape(rows, columns) && dy.hasShape(rows, columns) && (dUp == nil) == (up == nil))
    precondition(dUp?.hasShape(rows, columns) ?? true && up?.hasShape(rows, columns) ?? true)
    forEachRow(rows) { row in
      for i in row * columns..<(row + 1) * columns {
        let (d, u) = (dy.doubles[i], up.map { $0.doubles[i] } ?? 1)
        let (value, slope) = function.at(gate.doubles[i])
        dGate.doubles[i] = d * u * slope
        dUp?.doubles[i] = d * value
      }
    }
  }
}

func sum(_ count: Int, _ term: (Int) -> Double) -> Double {
  var sum = 0.0
  for i in 0..<count { sum += term(i) }
  return sum
}

extension Normalization {
  /// What is taken off a row, what is added to the weight, and ε.
  fileprivate func terms(_ x: UnsafePointer<Double>, _ D: Int) -> (mean: Double, offset: Double, epsilon: Double) {
    switch self {
    case .rms(let epsilon, let offset): (0, Double(offset), Double(epsilon))
    case .layer(let epsilon): (sum(D) { x[$0] } / Double(D), 0, Double(epsilon))
    }
  }
}

extension ActivationFunction {
  /// The function's value and its derivative.
  fileprivate func at(_ x: Double) -> (value: Double, slope: Double) {
    switch self {
    case .silu:
      let s = 1 / (1 + exp(-x))
      return (x * s, s * (1 + x * (1 - s)))
    case .gelu:
      let probability = erfc(-x / 2.0.squareRoot()) / 2
      return (x * probability, probability + x * exp(-x * x / 2) / (2 * Double.pi).squareRoot())
    case .geluTanh:
      let factor = (2 / Double.pi).squareRoot()
      let t = tanh(factor * (x + 0.044715 * x * x * x))
      return (x * (1 + t) / 2, (1 + t) / 2 + x * (1 - t * t) / 2 * factor * (1 + 3 * 0.044715 * x * x))
    case .relu:
      return (x < 0 ? 0 : x, x > 0 ? 1 : x <= 0 ? 0 : x)
    }
  }
}
