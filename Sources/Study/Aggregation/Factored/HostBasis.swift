import TensorOperations

/// The decoder of a place's factored gradients, in host memory as its file or the stream has it.
public struct HostBasis {
  /// (F,D)
  public let decoder: Matrix
  /// [F], 1 where there are none.
  public let factors: [Float]?

  public init(decoder: Matrix, factors: [Float]? = nil) {
    precondition(factors == nil || factors!.count == decoder.rows)
    (self.decoder, self.factors) = (decoder, factors)
  }

  /// Copies a feature's row of the decoder, of D numbers, without its factor.
  public func copyRow(_ feature: Int, to row: UnsafeMutablePointer<Float>) {
    decoder.copyRows([Int32(feature)], to: row)
  }
}
