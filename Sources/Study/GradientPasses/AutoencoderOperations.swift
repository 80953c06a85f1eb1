import SparseAutoencoders
import TensorOperations

/// A sparse autoencoder on the tensor operations: encodes and rebuilds rows.
public final class AutoencoderOperations {
  public let autoencoder: SparseAutoencoder
  package var operations: any TensorOperations { memory.operations }
  private let encoder: Matrix
  private let encoderBias: Tensor?
  /// (F,D)
  private let decoder: Matrix
  /// The same in host memory, in the file's own order.
  let hostDecoder: Matrix
  /// (D,F), in host memory, which few rows are encoded with. That it can be read was seen when it was loaded.
  private(set) lazy var hostEncoder = try! Matrix(autoencoder.parameters.encoder)
  private let activation: ActivationRule<Tensor>
  private let inputBias: Tensor?
  private let preactivationFactors: Tensor?
  private let decoderFactors: Tensor?
  private let outputBias: Tensor
  let memory: AutoencoderMemory

  public init(_ autoencoder: SparseAutoencoder, memory: AutoencoderMemory) throws {
    self.autoencoder = autoencoder
    self.memory = memory
    let (operations, parameters) = (memory.operations, autoencoder.parameters)
    encoder = operations.makeMatrix(try Matrix(parameters.encoder, asFloat: true))
    hostDecoder = try Matrix(parameters.decoder, asFloat: true)
    decoder = operations.makeDecoder(hostDecoder)
    encoderBias = parameters.encoderBias.map(operations.makeRow)
    activation = parameters.activation.placed(on: operations)
    inputBias = parameters.inputBias.map(operations.makeRow)
    preactivationFactors = parameters.preactivationFactors.map(operations.makeRow)
    decoderFactors = parameters.decoderFactors.map(operations.makeRow)
    outputBias = operations.makeRow(parameters.outputBias)
    memory.fit(columns, mostActive: activation.mostActive(of: encoder.columns))
  }

  private func columns(_ block: AutoencoderMemory.Block) -> Int {
    switch block {
    case .inputs, .normalized: encoder.rows
    case .features: encoder.columns
    case .outputs: decoder.columns
    }
  }

  private func block(_ block: AutoencoderMemory.Block, rows: Int) -> Tensor {
    memory.tensor(block, rows: rows, columns: columns(block))
  }

  /// Rebuilds rows of x from their features, block by block. All of it stays on the device and is queued there.
  ///
  /// - Parameters:
  ///   - scalings: (rows, `InputNormalization.Scaling.columns`); gets what each row was scaled by.
  ///   - gather: puts some of the rows into (count, D).
  ///   - show: is shown some of the rows as they were and as they are rebuilt, valid during the call.
  ///   - take: gets the features of each block in turn, as `TensorOperations.startDownload`.
  package func rebuild(
    rows: Int, scalings: Tensor, gather: (_ x: Tensor, _ rows: Range<Int>) -> Void,
    show: (_ rows: Range<Int>, _ x: Tensor, _ rebuilt: Tensor) -> Void, take: @escaping (ActiveFeatures) -> Void
  ) {
    for start in stride(from: 0, to: rows, by: memory.rows) {
      let part = start..<min(start + memory.rows, rows)
      let (x, s) = (block(.inputs, rows: part.count), block(.normalized, rows: part.count))
      let (p, y) = (block(.features, rows: part.count), block(.outputs, rows: part.count))
      gather(x, part)
      operations.normalizeInput(
        s, scalings: scalings.rows(part), x: x, autoencoder.parameters.inputNormalization, bias: inputBias)
      operations.product(y: p, x: s, matrix: encoder, bias: encoderBias, accumulate: false)
      if let preactivationFactors { operations.scaleColumns(p, by: preactivationFactors) }
      let features = operations.activate(p, by: activation)
      operations.startDownload(features, take)
      operations.decode(y: y, features: features, factors: decoderFactors, decoder: decoder, bias: outputBias)
      if scalesGradients { operations.undoNormalization(y, scalings: scalings.rows(part)) }
      show(part, x, y)
    }
  }

  /// The same of rows in host memory, [rows, D], at once.
  ///
  /// - Returns: the features of these rows.
  package func rebuild(
    _ rebuilt: UnsafeMutablePointer<Float>, from x: UnsafePointer<Float>, rows: Int, scalings kept: Tensor? = nil
  ) -> ActiveFeatures {
    let scalings = kept ?? operations.makeTensor(rows: rows, columns: InputNormalization.Scaling.columns)
    let active = ActiveFeatureList()
    rebuild(
      rows: rows, scalings: scalings, gather: { operations.upload($0, from: x + $1.lowerBound * $0.columns) },
      show: { operations.startDownload(rebuilt + $0.lowerBound * $2.columns, from: $2, rows: nil) }, take: active.append
    )
    operations.finishDownloads()
    return active.features
  }

  /// Whether `scaleGradients` does anything.
  package var scalesGradients: Bool {
    if case .none = autoencoder.parameters.inputNormalization { false } else { true }
  }

  /// Makes of g = ∂L/∂x̂ what ⟨decoder_i, ·⟩ turns into the gradient of feature i: g times the row's output scale.
  ///
  /// - Parameter scalings: of the rows that were rebuilt.
  package func scaleGradients(_ g: Tensor, scalings: Tensor) {
    if scalesGradients { operations.scaleRows(g, scalings: scalings) }
  }

  /// Begins to bring the gradients of all features, [rows, F], of scaled g, [rows, D], down.
  package func featureGradients(_ gradients: UnsafeMutablePointer<Float>, from g: UnsafePointer<Float>, rows: Int) {
    let (D, F) = (decoder.columns, decoder.rows)
    for start in stride(from: 0, to: rows, by: memory.rows) {
      let count = min(memory.rows, rows - start)
      let (x, y) = (block(.outputs, rows: count), block(.features, rows: count))
      operations.upload(x, from: g + start * D)
      operations.product(y: y, x: x, matrix: decoder.transposed, bias: nil, accumulate: false)
      if let decoderFactors { operations.scaleColumns(y, by: decoderFactors) }
      operations.startDownload(gradients + start * F, from: y, rows: nil)
    }
  }

  /// What a value of 1 of a feature adds to what is rebuilt, before the row's scaling is undone, [D].
  func direction(of feature: Int) -> [Double] {
    let factor = Double(autoencoder.parameters.decoderFactors?[feature] ?? 1)
    return (0..<decoder.columns).map { Double(hostDecoder.floats[element(feature, $0)]) * factor }
  }

  /// Where the decoder in host memory has a feature's entry at a dimension.
  func element(_ feature: Int, _ d: Int) -> Int {
    hostDecoder.isColumnMajor
      ? d * hostDecoder.leadingDimension + feature : feature * hostDecoder.leadingDimension + d
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

/// Features that arrive block by block.
final class ActiveFeatureList {
  private(set) var features = ActiveFeatures()

  func append(_ block: ActiveFeatures) { features.append(block) }
}
