import SparseAutoencoders
import TensorFiles
import TensorOperations

/// The parameters in Double, a sum at a time: what every faster form is compared with. One row at a time.
struct ReferenceArithmetic {
  private let parameters: AutoencoderParameters
  /// [D][F]
  private let encoder: [[Double]]
  /// [F][D]
  private let decoder: [[Double]]

  init(_ parameters: AutoencoderParameters) throws {
    self.parameters = parameters
    encoder = try rows(of: parameters.encoder)
    decoder = try rows(of: parameters.decoder)
  }

  private var features: Int { parameters.encoder.columns }

  func preactivations(_ x: [Double]) -> [Double] {
    let scaling = scaling(x)
    let s = x.indices.map { d in
      (x[d] - scaling.shift) * scaling.input - Double(parameters.inputBias?[d] ?? 0)
    }
    return (0..<features).map { i in
      let sum = s.indices.reduce(0.0) { $0 + s[$1] * encoder[$1][i] }
      return (sum + Double(parameters.encoderBias?[i] ?? 0)) * Double(parameters.preactivationFactors?[i] ?? 1)
    }
  }

  func encode(_ x: [Double]) -> [Double] {
    let p = preactivations(x)
    switch parameters.activation {
    case .threshold(let threshold): return p.map { $0 > Double(threshold) ? max($0, 0) : 0 }
    case .thresholds(let thresholds): return p.indices.map { p[$0] > Double(thresholds[$0]) ? max(p[$0], 0) : 0 }
    case .topK(let k):
      let kept = Set(p.indices.sorted { (-p[$0], $0) < (-p[$1], $1) }.prefix(k))
      return p.indices.map { kept.contains($0) ? max(p[$0], 0) : 0 }
    case .topMagnitudes(let k):
      let kept = Set(p.indices.sorted { (-abs(p[$0]), $0) < (-abs(p[$1]), $1) }.prefix(k))
      return p.indices.map { kept.contains($0) ? p[$0] : 0 }
    case .groupMax(let groups):
      let size = p.count / groups
      let kept = Set((0..<groups).map { group in (group * size..<(group + 1) * size).max { p[$0] < p[$1] }! })
      return p.indices.map { kept.contains($0) ? max(p[$0], 0) : 0 }
    case .gated(let gateBias, let factors, let magnitudeBias):
      return p.indices.map { i in
        p[i] + Double(gateBias[i]) > 0 ? max(Double(factors[i]) * p[i] + Double(magnitudeBias[i]), 0) : 0
      }
    }
  }

  /// How far the closest of x's preactivations is from being kept or dropped the other way, where that would make
  /// a feature jump. Arithmetic whose error is smaller chooses the same features.
  func margin(_ x: [Double]) -> Double {
    let p = preactivations(x)
    let distances: [Double]
    switch parameters.activation {
    case .threshold(let threshold): distances = threshold > 0 ? p.map { abs($0 - Double(threshold)) } : []
    case .thresholds(let thresholds):
      distances = p.indices.filter { thresholds[$0] > 0 }.map { abs(p[$0] - Double(thresholds[$0])) }
    case .topK(let k): distances = gap(p.map { max($0, 0) }, k)
    case .topMagnitudes(let k): distances = gap(p.map(abs), k)
    case .groupMax(let groups):
      let size = p.count / groups
      distances = (0..<groups).flatMap { gap(p[$0 * size..<($0 + 1) * size].map { max($0, 0) }, 1) }
    case .gated(let gateBias, let factors, let magnitudeBias):
      // A gate that opens on a magnitude of 0 changes nothing.
      distances = p.indices.filter { Double(factors[$0]) * -Double(gateBias[$0]) + Double(magnitudeBias[$0]) > -1e-3 }
        .map { abs(p[$0] + Double(gateBias[$0])) }
    }
    return distances.min() ?? .infinity
  }

  /// Between the last kept and the first dropped; where both are 0, nothing depends on which it is.
  private func gap(_ values: [Double], _ k: Int) -> [Double] {
    let sorted = values.sorted(by: >)
    return k < sorted.count && sorted[k - 1] > 0 ? [sorted[k - 1] - sorted[k]] : []
  }

  /// - Parameter x: the row that was encoded, whose normalisation is undone.
  func decode(_ f: [Double], _ x: [Double]) -> [Double] {
    let scaling = scaling(x)
    return parameters.outputBias.indices.map { d in
      let sum = f.indices.reduce(0.0) { $0 + f[$1] * Double(parameters.decoderFactors?[$1] ?? 1) * decoder[$1][d] }
      return (sum + Double(parameters.outputBias[d])) * scaling.output + scaling.shift
    }
  }

  func featureGradient(_ g: [Double], _ x: [Double]) -> [Double] {
    let scaling = scaling(x)
    return (0..<features).map { i in
      let sum = g.indices.reduce(0.0) { $0 + decoder[i][$1] * g[$1] }
      return scaling.output * Double(parameters.decoderFactors?[i] ?? 1) * sum
    }
  }

  private func scaling(_ x: [Double]) -> (shift: Double, input: Double, output: Double) {
    let width = Double(x.count)
    switch parameters.inputNormalization {
    case .none: return (0, 1, 1)
    case .layerNorm:
      let mean = x.reduce(0, +) / width
      let deviation = (x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (width - 1)).squareRoot()
      return (mean, 1 / (deviation + 1e-5), deviation)
    case .constantNorm:
      let norm = x.reduce(0) { $0 + $1 * $1 }.squareRoot()
      return (0, width.squareRoot() / norm, norm / width.squareRoot())
    case .fixed(let scale, let isCentred): return (isCentred ? x.reduce(0, +) / width : 0, scale, 1 / scale)
    }
  }
}

/// A matrix by its logical rows.
func rows(of stored: StoredTensor) throws -> [[Double]] {
  let matrix = try Matrix(stored, asFloat: true)
  return (0..<matrix.rows).map { row in
    (0..<matrix.columns).map { column in
      let distance = matrix.leadingDimension
      return Double(matrix.floats[matrix.isColumnMajor ? column * distance + row : row * distance + column])
    }
  }
}
