import SparseAutoencoders
import TensorOperations
import TensorStream

/// Memory that autoencoders compute a block of rows in, the layers' one after another.
public final class AutoencoderMemory {
  /// Positions whose preactivations, 65,536 each, are held at a time: every fourth of a pass.
  private(set) lazy var rows = operations.passRows / 4
  fileprivate let operations: any TensorOperations
  private var blocks: [String: Tensor] = [:]

  public init(_ operations: any TensorOperations) { self.operations = operations }

  /// The block (rows, columns) of that name, whose contents are those of whoever used it last.
  fileprivate func block(_ name: String, _ rows: Int, _ columns: Int) -> Tensor {
    if blocks[name]?.columns != columns { blocks[name] = operations.makeTensor(rows: self.rows, columns: columns) }
    return blocks[name]!.first(rows: rows)
  }
}

/// A sparse autoencoder on the tensor operations: encodes and rebuilds rows.
public final class AutoencoderOperations {
  public let autoencoder: SparseAutoencoder
  private var operations: any TensorOperations { memory.operations }
  private let encoder: Matrix
  private let encoderBias: Tensor?
  /// (F,D), in the file's own order.
  private let decoder: Matrix
  /// The same in host memory.
  private let hostDecoder: Matrix
  private let memory: AutoencoderMemory

  public init(_ autoencoder: SparseAutoencoder, memory: AutoencoderMemory) throws {
    self.autoencoder = autoencoder
    self.memory = memory
    let operations = memory.operations
    encoder = operations.makeMatrix(Matrix(try autoencoder.computation.encoder.floats()))
    hostDecoder = Matrix(try autoencoder.computation.decoder.floats())
    decoder = operations.makeMatrix(hostDecoder)
    encoderBias = autoencoder.computation.encoderBias.map { bias in
      let tensor = operations.makeTensor(rows: 1, columns: bias.count)
      operations.upload(tensor, from: bias)
      return tensor
    }
  }

  private func inputs(_ rows: Int) -> Tensor { memory.block("inputs", rows, encoder.rows) }
  private func perFeature(_ rows: Int) -> Tensor { memory.block("features", rows, encoder.columns) }
  private func outputs(_ rows: Int) -> Tensor { memory.block("outputs", rows, decoder.columns) }

  /// Rebuilds `rows` rows of x, [rows, D], from their features.
  ///
  /// - Returns: how many features are active in all rows together.
  package func rebuild(_ rebuilt: UnsafeMutablePointer<Float>, from x: UnsafePointer<Float>, rows: Int) -> Int {
    let (computation, D) = (autoencoder.computation, encoder.rows)
    var active = 0
    for start in stride(from: 0, to: rows, by: memory.rows) {
      let count = min(memory.rows, rows - start)
      let block = start * D
      let scalings = normalize(x + block, rows: count, into: rebuilt + block)
      let (s, p, y) = (inputs(count), perFeature(count), outputs(count))
      operations.upload(s, from: rebuilt + block)
      operations.product(y: p, x: s, matrix: encoder, bias: encoderBias, accumulate: false)
      if let factors = computation.preactivationFactors { operations.scaleColumns(p, by: factors) }
      var features = operations.activate(p, by: computation.activation)
      active += features.count
      if let factors = computation.decoderFactors { features.scale(by: factors) }
      operations.decode(y: y, features: features, decoder: decoder, bias: computation.outputBias)
      operations.download(rebuilt + block, from: y)
      denormalize(rebuilt + block, rows: count, scalings)
    }
    return active
  }

  /// s = normalise(x) − inputBias, row by row; the scalings undo it.
  private func normalize(
    _ x: UnsafePointer<Float>, rows: Int, into s: UnsafeMutablePointer<Float>
  ) -> [InputNormalization.Scaling] {
    let (computation, D) = (autoencoder.computation, encoder.rows)
    return (0..<rows).map { row in
      let (x_t, s_t) = (x + row * D, s + row * D)
      let scaling = computation.inputNormalization.scaling(of: UnsafeBufferPointer(start: x_t, count: D))
      for i in 0..<D { s_t[i] = Float((Double(x_t[i]) - scaling.shift) * scaling.inputScale) }
      if let bias = computation.inputBias { for i in 0..<D { s_t[i] -= bias[i] } }
      return scaling
    }
  }

  private func denormalize(
    _ y: UnsafeMutablePointer<Float>, rows: Int, _ scalings: [InputNormalization.Scaling]
  ) {
    if case .none = autoencoder.computation.inputNormalization { return }
    let D = decoder.columns
    for (row, scaling) in scalings.enumerated() {
      for i in row * D..<(row + 1) * D { y[i] = Float(Double(y[i]) * scaling.outputScale + scaling.shift) }
    }
  }

  /// Makes of g = ∂L/∂x̂ what ⟨decoder_i, ·⟩ turns into the gradient of feature i: g times the row's output scale.
  ///
  /// - Parameter x: the rows that were rebuilt.
  package func scaleGradients(_ g: UnsafeMutablePointer<Float>, of x: UnsafePointer<Float>, rows: Int) {
    if case .none = autoencoder.computation.inputNormalization { return }
    let D = decoder.columns
    for row in 0..<rows {
      let scaling = autoencoder.computation.inputNormalization.scaling(
        of: UnsafeBufferPointer(start: x + row * D, count: D))
      for i in row * D..<(row + 1) * D { g[i] = Float(Double(g[i]) * scaling.outputScale) }
    }
  }

  /// The gradients of all features, [rows, F], from scaled g, [rows, D].
  package func featureGradients(_ gradients: UnsafeMutablePointer<Float>, from g: UnsafePointer<Float>, rows: Int) {
    let (D, F) = (decoder.columns, decoder.rows)
    for start in stride(from: 0, to: rows, by: memory.rows) {
      let count = min(memory.rows, rows - start)
      let (x, y) = (outputs(count), perFeature(count))
      operations.upload(x, from: g + start * D)
      operations.product(y: y, x: x, matrix: decoder.transposed, bias: nil, accumulate: false)
      if let factors = autoencoder.computation.decoderFactors { operations.scaleColumns(y, by: factors) }
      operations.download(gradients + start * F, from: y)
    }
  }

  /// The decoder with its factors, [F, D] by rows: all that aggregation needs of the autoencoder.
  func basis() -> [Float] {
    let (F, D) = (decoder.rows, decoder.columns)
    let factors = autoencoder.computation.decoderFactors
    return [Float](unsafeUninitializedCapacity: F * D) { basis, count in
      // By blocks of features, so that a decoder that lies by columns is read along its lines.
      for block in stride(from: 0, to: F, by: 64) {
        for d in 0..<D {
          for f in block..<min(block + 64, F) {
            let element = decoder.isColumnMajor ? d * decoder.leadingDimension + f : f * decoder.leadingDimension + d
            basis[f * D + d] = hostDecoder.floats[element] * (factors?[f] ?? 1)
          }
        }
      }
      count = F * D
    }
  }
}
