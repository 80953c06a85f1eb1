import Decoders
import SparseAutoencoders
import TensorOperations
import TensorStream

/// Memory that autoencoders compute a block of rows in, the layers' one after another.
public final class AutoencoderMemory {
  enum Block: CaseIterable {
    case inputs, features, outputs
  }

  /// Rows of a pass for each one of a block.
  private static let share = 4

  /// Positions whose preactivations, 65,536 each, are held at a time: every fourth of a pass.
  private(set) lazy var rows = operations.passRows(bytesPerRow: bytesPerRow) / Self.share
  fileprivate let operations: any TensorOperations
  private var tensors: [Block: Tensor] = [:]
  /// Of the largest autoencoder.
  private var bytesOfBlockRow = 0

  public init(_ operations: any TensorOperations) { self.operations = operations }

  /// What these blocks take in a device's memory for each row of a pass.
  package var bytesPerRow: Int { (bytesOfBlockRow + Self.share - 1) / Self.share }

  /// Has blocks go with passes of at most so many rows.
  package func use(passRows: Int) { rows = passRows / Self.share }

  /// Counts on an autoencoder with blocks of so many columns.
  fileprivate func fit(_ columns: [Int], features: Int) {
    let blocks = columns.reduce(0, +) * MemoryLayout<Float>.stride
    // Of each feature a mark that it is active, its index and its value; of a row where its features begin.
    let active =
      features * (1 + MemoryLayout<Int32>.stride + MemoryLayout<Float>.stride) + 2 * MemoryLayout<Int64>.stride
    bytesOfBlockRow = max(bytesOfBlockRow, blocks + active)
  }

  /// The block's first `rows` rows, whose contents are those of whoever used it last.
  fileprivate func tensor(_ block: Block, rows: Int, columns: Int) -> Tensor {
    if let tensor = tensors[block], tensor.columns == columns, tensor.rows == self.rows {
      return tensor.first(rows: rows)
    }
    // Given back before the other one is made.
    tensors[block] = nil
    let tensor = operations.makeTensor(rows: self.rows, columns: columns)
    tensors[block] = tensor
    return tensor.first(rows: rows)
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
  let memory: AutoencoderMemory

  public init(_ autoencoder: SparseAutoencoder, memory: AutoencoderMemory) throws {
    self.autoencoder = autoencoder
    self.memory = memory
    let operations = memory.operations
    encoder = operations.makeMatrix(try Matrix(autoencoder.parameters.encoder, asFloat: true))
    hostDecoder = try Matrix(autoencoder.parameters.decoder, asFloat: true)
    decoder = operations.makeMatrix(hostDecoder)
    encoderBias = autoencoder.parameters.encoderBias.map { bias in
      let tensor = operations.makeTensor(rows: 1, columns: bias.count)
      operations.upload(tensor, from: bias)
      return tensor
    }
    memory.fit(AutoencoderMemory.Block.allCases.map(columns), features: encoder.columns)
  }

  private func columns(_ block: AutoencoderMemory.Block) -> Int {
    switch block {
    case .inputs: encoder.rows
    case .features: encoder.columns
    case .outputs: decoder.columns
    }
  }

  private func block(_ block: AutoencoderMemory.Block, rows: Int) -> Tensor {
    memory.tensor(block, rows: rows, columns: columns(block))
  }

  /// Rebuilds `rows` rows of x, [rows, D], from their features.
  ///
  /// - Returns: the features of these rows.
  package func rebuild(
    _ rebuilt: UnsafeMutablePointer<Float>, from x: UnsafePointer<Float>, rows: Int
  ) -> ActiveFeatures {
    let (parameters, D) = (autoencoder.parameters, encoder.rows)
    var blocks: [ActiveFeatures] = []
    for start in stride(from: 0, to: rows, by: memory.rows) {
      let count = min(memory.rows, rows - start)
      let first = start * D
      let scalings = normalize(x + first, rows: count, into: rebuilt + first)
      let (s, p, y) = (block(.inputs, rows: count), block(.features, rows: count), block(.outputs, rows: count))
      operations.upload(s, from: rebuilt + first)
      operations.product(y: p, x: s, matrix: encoder, bias: encoderBias, accumulate: false)
      if let factors = parameters.preactivationFactors { operations.scaleColumns(p, by: factors) }
      let features = operations.activate(p, by: parameters.activation)
      blocks.append(features)
      var scaled = features
      if let factors = parameters.decoderFactors { scaled.scale(by: factors) }
      operations.decode(y: y, features: scaled, decoder: decoder, bias: parameters.outputBias)
      operations.download(rebuilt + first, from: y)
      denormalize(rebuilt + first, rows: count, scalings)
    }
    return ActiveFeatures(joining: blocks)
  }

  /// s = normalise(x) − inputBias, row by row; the scalings undo it.
  private func normalize(
    _ x: UnsafePointer<Float>, rows: Int, into s: UnsafeMutablePointer<Float>
  ) -> [InputNormalization.Scaling] {
    let (parameters, D) = (autoencoder.parameters, encoder.rows)
    return (0..<rows).map { row in
      let (x_t, s_t) = (x + row * D, s + row * D)
      let scaling = parameters.inputNormalization.scaling(of: UnsafeBufferPointer(start: x_t, count: D))
      for i in 0..<D { s_t[i] = Float((Double(x_t[i]) - scaling.shift) * scaling.inputScale) }
      if let bias = parameters.inputBias { for i in 0..<D { s_t[i] -= bias[i] } }
      return scaling
    }
  }

  /// Whether `scaleGradients` does anything.
  package var scalesGradients: Bool {
    if case .none = autoencoder.parameters.inputNormalization { false } else { true }
  }

  private func denormalize(
    _ y: UnsafeMutablePointer<Float>, rows: Int, _ scalings: [InputNormalization.Scaling]
  ) {
    guard scalesGradients else { return }
    let D = decoder.columns
    for (row, scaling) in scalings.enumerated() {
      for i in row * D..<(row + 1) * D { y[i] = Float(Double(y[i]) * scaling.outputScale + scaling.shift) }
    }
  }

  /// Makes of g = ∂L/∂x̂ what ⟨decoder_i, ·⟩ turns into the gradient of feature i: g times the row's output scale.
  ///
  /// - Parameter x: the rows that were rebuilt.
  package func scaleGradients(_ g: UnsafeMutablePointer<Float>, of x: UnsafePointer<Float>, rows: Int) {
    guard scalesGradients else { return }
    let D = decoder.columns
    for row in 0..<rows {
      let scaling = autoencoder.parameters.inputNormalization.scaling(
        of: UnsafeBufferPointer(start: x + row * D, count: D))
      for i in row * D..<(row + 1) * D { g[i] = Float(Double(g[i]) * scaling.outputScale) }
    }
  }

  /// The gradients of all features, [rows, F], from scaled g, [rows, D].
  package func featureGradients(_ gradients: UnsafeMutablePointer<Float>, from g: UnsafePointer<Float>, rows: Int) {
    let (D, F) = (decoder.columns, decoder.rows)
    for start in stride(from: 0, to: rows, by: memory.rows) {
      let count = min(memory.rows, rows - start)
      let (x, y) = (block(.outputs, rows: count), block(.features, rows: count))
      operations.upload(x, from: g + start * D)
      operations.product(y: y, x: x, matrix: decoder.transposed, bias: nil, accumulate: false)
      if let factors = autoencoder.parameters.decoderFactors { operations.scaleColumns(y, by: factors) }
      operations.download(gradients + start * F, from: y)
    }
  }

  /// What a value of 1 of a feature adds to what is rebuilt, before the row's scaling is undone, [D].
  func direction(of feature: Int) -> [Float] {
    let factor = autoencoder.parameters.decoderFactors?[feature] ?? 1
    return (0..<decoder.columns).map { hostDecoder.floats[element(feature, $0)] * factor }
  }

  /// Where the decoder has a feature's entry at a dimension.
  private func element(_ feature: Int, _ d: Int) -> Int {
    decoder.isColumnMajor ? d * decoder.leadingDimension + feature : feature * decoder.leadingDimension + d
  }

  /// The decoder with its factors, [F, D] by rows: all that aggregation needs of the autoencoder.
  func basis() -> [Float] {
    let (F, D) = (decoder.rows, decoder.columns)
    let factors = autoencoder.parameters.decoderFactors
    return [Float](unsafeUninitializedCapacity: F * D) { basis, count in
      // By blocks of features, so that a decoder that lies by columns is read along its lines.
      for block in stride(from: 0, to: F, by: 64) {
        for d in 0..<D {
          for f in block..<min(block + 64, F) {
            basis[f * D + d] = hostDecoder.floats[element(f, d)] * (factors?[f] ?? 1)
          }
        }
      }
      count = F * D
    }
  }
}

extension DecoderModel {
  /// Rows of samples that a pass has at most beside these autoencoders, whose blocks are made to go with it.
  public func passRows(from start: Place, with autoencoders: some Sequence<AutoencoderOperations>) -> Int {
    let memories = autoencoders.map(\.memory)
    let rows = passRows(from: start, otherBytes: memories.map(\.bytesPerRow).max() ?? 0)
    for memory in memories { memory.use(passRows: rows) }
    return rows
  }
}
