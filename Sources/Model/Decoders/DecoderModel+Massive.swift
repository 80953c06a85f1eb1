import TensorOperations
import TensorStream

/// The way back of samples with a massive activation on its way (see `MassiveActivations`), over their first positions
/// in Double.
extension DecoderModel {
  /// Begins to bring down how long the residual stream is at each row of a pass, layer by layer, once the pass has gone
  /// forward.
  func startLengths(of pass: PassTensors) -> StreamLengths {
    let (rows, layers) = (pass.input.rowCount, pass.keptLayers)
    if keptStatistics.map({ $0.rows < layers.count * rows }) ?? true {
      keptStatistics = operations.makeTensor(rows: layers.count * rows, columns: 1)
    }
    let all = keptStatistics!.rows(0..<layers.count * rows)
    for (index, layer) in layers.enumerated() {
      operations.copy(all.rows(index * rows..<(index + 1) * rows), from: layer.middleStatistics)
    }
    let lengths = StreamLengths(layers: layers.count, rows: rows)
    operations.startDownload(lengths.statistics.baseAddress!, from: all, rows: nil)
    return lengths
  }

  /// Those rows of a pass whose gradients Float cannot give, sample by sample.
  func massiveRows(_ pass: PassTensors, _ lengths: StreamLengths) -> [LaterAttention.FirstRows] {
    operations.finishDownloads()
    return pass.input.samples.samples.compactMap { sample in
      guard sample.valid > 0 else { return nil }
      let first = sample.rows.lowerBound
      let rows = countInDouble(lengths.byLayer(of: first..<first + sample.valid))
      return rows == 0 ? nil : (sample, rows)
    }
  }

  /// Goes forward and back again over some rows of a pass alone, in Double, once the pass itself has gone back.
  ///
  /// Forward from the tokens on: in Float, and rounded to it, what was captured decides too little.
  func backwardInDouble(
    _ later: LaterAttention, of input: ModelInput, from start: Start, at places: Set<Place>,
    record: (Place, PlaceGradient) throws -> Void
  ) rethrows {
    let model = inDouble!
    let rows = later.rangesInDouble
    let all = rows.flatMap { $0.map(Int32.init) }
    let first = ModelInput(input, rows: rows)
    var shown: (activation: Tensor, rest: Tensor?)?
    // The embedding, all that could fail, was read when the model was loaded.
    try! model.capture(first, at: [start.place]) { _, activation, rest in
      shown = (model.copy(activation), rest.map(model.copy))
    }
    let activation = shown!.activation
    if let replacement = start.replacement {
      let replaced = Set(replacement.rows)
      for (place, row) in all.enumerated() where replaced.contains(row) {
        replacement.replace(row, activation.doubles(row: place))
      }
    }
    let pass = model.forward(
      first, from: start.place, activation: { model.operations.copy($0, from: activation) },
      rest: { model.operations.copy($0, from: shown!.rest!) })
    _ = model.losses(pass, dResidual: pass.dResidual)
    try model.backward(pass.taking(later), at: places) { place, values in
      try record(place, PlaceGradient(values: values, operations: model.operations, rows: all))
    }
  }

  private func copy(_ tensor: Tensor) -> Tensor {
    let copy = operations.makeTensor(rows: tensor.rows, columns: tensor.columns)
    operations.copy(copy, from: tensor)
    return copy
  }
}

/// How long the residual stream is at each row of a pass, layer by layer, in host memory.
final class StreamLengths {
  private let rows: Int
  /// [layers, rows]: the r that a norm multiplies a row by, 1 / length but for a factor.
  let statistics: UnsafeMutableBufferPointer<Float>

  init(layers: Int, rows: Int) {
    self.rows = rows
    statistics = .allocate(capacity: layers * rows)
  }

  deinit { statistics.deallocate() }

  func byLayer(of range: Range<Int>) -> [[Double]] {
    stride(from: 0, to: statistics.count, by: rows).map { first in
      range.map { 1 / Double(statistics[first + $0]) }
    }
  }
}

extension PassOperations {
  /// Those rows in host memory.
  func downloaded(_ tensor: Tensor, rows: [Int32]) -> [Float] {
    [Float](unsafeUninitializedCapacity: rows.count * tensor.columns) { values, count in
      count = rows.count * tensor.columns
      guard let address = values.baseAddress else { return }
      startDownload(address, from: tensor, rows: rows)
      finishDownloads()
    }
  }
}

extension ModelInput {
  /// Some samples' first rows as samples of their own.
  init(_ input: ModelInput, rows: [Range<Int>]) {
    var end = 0
    let ranges = rows.map { rows in
      end += rows.count
      return end - rows.count..<end
    }
    self.init(
      sampleRows: ranges, samples: PackedSamples(ranges.map { .init(rows: $0, valid: $0.count) }),
      inputIDs: rows.flatMap { input.inputIDs[$0] }, sampleRange: 0..<rows.count,
      positions: rows.flatMap { input.positions[$0] }, targets: rows.flatMap { input.targets[$0] })
  }
}
