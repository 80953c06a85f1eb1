import SparseAutoencoders
import TensorOperations

extension AutoencoderOperations {
  /// What `rebuild` makes of a row x, in its place, with every step in Double:
  ///
  ///     s = normalise(x) − b,   x̂ = undo(Σ_i f_i·factor_i·decoder_i + output bias),   f_i of the preactivation s·encoder_i + bias_i
  ///
  /// - Parameters:
  ///   - row: [D]
  ///   - active: the features that are active there, which `rebuild` has found.
  package func rebuildInDouble(_ row: UnsafeMutablePointer<Double>, from active: some Sequence<Int32>) {
    let parameters = autoencoder.parameters
    let (s, scaling) = normalized(UnsafeBufferPointer(start: row, count: hostEncoder.rows))
    var rebuilt = parameters.outputBias.map(Double.init)
    for feature in active.lazy.map(Int.init) {
      let value = value(of: feature, s) * Double(parameters.decoderFactors?[feature] ?? 1)
      for d in rebuilt.indices { rebuilt[d] += value * Double(hostDecoder.floats[element(feature, d)]) }
    }
    for d in rebuilt.indices {
      row[d] = scalesGradients ? rebuilt[d] * scaling.outputScale + scaling.shift : rebuilt[d]
    }
  }

  /// What a feature that is active at a row x, [D], is there.
  package func valueInDouble(of feature: Int, at x: UnsafeBufferPointer<Double>) -> Double {
    value(of: feature, normalized(x).s)
  }

  private func normalized(_ x: UnsafeBufferPointer<Double>) -> (s: [Double], scaling: InputNormalization.Scaling) {
    let scaling = autoencoder.parameters.inputNormalization.scaling(of: x)
    let s = x.indices.map { d in
      (x[d] - scaling.shift) * scaling.inputScale - Double(autoencoder.parameters.inputBias?[d] ?? 0)
    }
    return (s, scaling)
  }

  private func value(of feature: Int, _ s: [Double]) -> Double {
    let (parameters, encoder) = (autoencoder.parameters, encoder(of: feature))
    var p = Double(parameters.encoderBias?[feature] ?? 0)
    for d in s.indices { p += s[d] * Double(encoder[d]) }
    return parameters.activation.value(p * Double(parameters.preactivationFactors?[feature] ?? 1), of: feature)
  }

  /// What the input is multiplied with to a feature's preactivation, [D].
  private func encoder(of feature: Int) -> [Float] {
    let matrix = hostEncoder
    let (first, stride) =
      matrix.isColumnMajor ? (feature * matrix.leadingDimension, 1) : (feature, matrix.leadingDimension)
    return [Float](unsafeUninitializedCapacity: matrix.rows) { column, count in
      widen(
        column.baseAddress!, matrix.address + first * matrix.type.size, matrix.rows, matrix.type, stride: stride)
      count = matrix.rows
    }
  }
}

extension Activation {
  /// An active feature's value.
  fileprivate func value(_ p: Double, of feature: Int) -> Double {
    guard case .gated(_, let magnitudeFactors, let magnitudeBias) = self else { return p }
    return Double(magnitudeFactors[feature]) * p + Double(magnitudeBias[feature])
  }
}
