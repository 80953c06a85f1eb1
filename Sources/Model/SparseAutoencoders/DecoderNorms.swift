import SystemIO
import TensorFiles
import TensorOperations

/// The Euclidean norms of rows of a decoder (F × D), summed in Double.
///
/// - Throws: `Failure` of kind malformed where a row holds a NaN or an infinity: it has no norm.
func decoderNorms(_ decoder: StoredTensor, features: Range<Int>) throws -> [Double] {
  let bytes = try decoder.bytes()
  guard let base = bytes.baseAddress, !features.isEmpty else { return [] }
  let lines = decoder.lines
  func element(line: Int, _ place: Int) -> UnsafeRawPointer {
    base + (line * lines.distance + place * lines.stride) * decoder.type.size
  }
  var squares = [Double](repeating: 0, count: features.count)
  let lineLength = lines.areColumns ? features.count : decoder.columns
  squares.withUnsafeMutableBufferPointer { squares in
    withUnsafeTemporaryAllocation(of: Float.self, capacity: lineLength) { values in
      let destination = values.baseAddress!
      if lines.areColumns {
        for column in 0..<decoder.columns {
          let source = element(line: column, features.lowerBound)
          widen(destination, source, lineLength, decoder.type, stride: lines.stride)
          for i in 0..<lineLength { squares[i] += Double(values[i]) * Double(values[i]) }
        }
      } else {
        for (i, row) in features.enumerated() {
          widen(destination, element(line: row, 0), lineLength, decoder.type, stride: lines.stride)
          squares[i] = values.reduce(0) { $0 + Double($1) * Double($1) }
        }
      }
    }
  }
  if let row = squares.firstIndex(where: { !$0.isFinite }) {
    throw Failure(
      .malformed,
      "the decoder: expected numbers, found \(squares[row]) as the norm of feature \(features.lowerBound + row)")
  }
  return squares.map { $0.squareRoot() }
}

/// Factors that give every feature the scale of a decoder row of norm 1: preactivations times the norms, and the
/// features divided by them again on their way to the decoder.
///
/// - Returns: nil where the norms are all 1, by the tolerance of `torch.allclose`; and how many features have no
///   norm, which are left as they are: dividing by it would make them NaN.
func unitNormFactors(
  _ decoder: StoredTensor
) throws -> (factors: (preactivation: [Float], decoder: [Float])?, range: ClosedRange<Double>, zeros: Int) {
  let norms = try decoderNorms(decoder, features: 0..<decoder.rows)
  let smallest = norms.min() ?? 1
  let range = smallest...max(smallest, norms.max() ?? 1)
  let zeros = norms.count { $0 == 0 }
  guard norms.contains(where: { abs($0 - 1) > 1e-8 + 1e-5 }) else { return (nil, range, zeros) }
  let factors = norms.map { $0 == 0 ? 1 : $0 }
  return ((factors.map(Float.init), factors.map { Float(1 / $0) }), range, zeros)
}
