import TensorOperations

/// The decoder that turns rows of a stream into feature gradients: ∂L/∂f_i = factors_i · ⟨decoder_i, g⟩.
public struct Basis {
  /// (F,D), on the device that multiplies.
  public let decoder: Matrix
  /// The same in host memory.
  public let hostDecoder: Matrix
  /// [F], 1 where there are none.
  public let factors: [Float]?

  public init(decoder: Matrix, hostDecoder: Matrix, factors: [Float]? = nil) {
    precondition(factors == nil || factors!.count == decoder.rows)
    precondition((decoder.rows, decoder.columns) == (hostDecoder.rows, hostDecoder.columns))
    self.decoder = decoder
    self.hostDecoder = hostDecoder
    self.factors = factors
  }
}
