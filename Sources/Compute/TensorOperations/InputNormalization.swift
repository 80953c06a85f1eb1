/// What is done to each row of an autoencoder's input, and undone to its row of the output.
public enum InputNormalization: Sendable {
  case none
  /// SAELens `layer_norm`: minus the row's mean, divided by its standard deviation (of D − 1) + 1e-5. Its inverse
  /// multiplies by the standard deviation alone.
  case layerNorm
  /// SAELens `constant_norm_rescale`: scaled to a Euclidean norm of √D.
  case constantNorm
  /// The same factor for every row, which a training took from the average norm of its activations, after the row's
  /// mean is subtracted where it trained on a model whose residual stream has none: TransformerLens takes the mean out
  /// of every weight that writes to the stream (`center_writing_weights`), which LayerNorm cannot tell.
  case fixed(scale: Double, isCentred: Bool)

  /// The three numbers that it is for one row.
  public struct Scaling: Sendable {
    /// normalise(x) = (x − shift) · inputScale
    public let shift: Double
    public let inputScale: Double
    /// denormalise(y) = y · outputScale + shift. Gradients of the features are scaled by `outputScale` as well.
    public let outputScale: Double

    /// A row of a tensor that keeps one scaling a row, as three Doubles.
    public static let columns = 6
  }

  /// - Parameter row: one row of the input, all of its width.
  public func scaling<Number: BinaryFloatingPoint>(of row: UnsafeBufferPointer<Number>) -> Scaling {
    let width = Double(row.count)
    switch self {
    case .none: return Scaling(shift: 0, inputScale: 1, outputScale: 1)
    case .layerNorm:
      let mean = row.reduce(0.0) { $0 + Double($1) } / width
      let squares = row.reduce(0.0) { $0 + (Double($1) - mean) * (Double($1) - mean) }
      let deviation = (squares / (width - 1)).squareRoot()
      return Scaling(shift: mean, inputScale: 1 / (deviation + 1e-5), outputScale: deviation)
    case .constantNorm:
      let norm = row.reduce(0.0) { $0 + Double($1) * Double($1) }.squareRoot()
      return Scaling(shift: 0, inputScale: width.squareRoot() / norm, outputScale: norm / width.squareRoot())
    case .fixed(let scale, let isCentred):
      let mean = isCentred ? row.reduce(0.0) { $0 + Double($1) } / width : 0
      return Scaling(shift: mean, inputScale: scale, outputScale: 1 / scale)
    }
  }
}
