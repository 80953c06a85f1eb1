import TensorOperations
import TensorStream

/// The way back of samples with a massive activation on its way (see `MassiveActivations`), over their first positions
/// in Double.
extension DecoderModel {
  /// Those rows of a pass whose gradients Float cannot give, sample by sample, once the pass has gone forward.
  func massiveRows(_ pass: PassTensors) -> [LaterAttention.FirstRows] {
    // A norm keeps the r that a row is multiplied by, 1 / length but for a factor.
    let lengths = pass.keptLayers.map { layer in
      let statistics = layer.middleStatistics
      return [Float](unsafeUninitializedCapacity: statistics.count) { values, count in
        operations.download(values.baseAddress!, from: statistics)
        count = statistics.count
      }.map { 1 / Double($0) }
    }
    return pass.input.samples.samples.compactMap { sample in
      guard sample.valid > 0 else { return nil }
      let first = sample.rows.lowerBound
      let rows = rule(lengths.map { Array($0[first..<first + sample.valid]) })
      return rows == 0 ? nil : (sample, rows)
    }
  }

  /// Goes forward and back again over some rows of a pass alone, in Double, once the pass itself has gone back.
  func backAgain(
    _ later: LaterAttention, of input: ModelInput, from start: Start, at places: Set<Place>,
    record: (Place, PlaceGradient) throws -> Void
  ) rethrows {
    let rows = later.rangesInDouble
    func gathered(_ values: UnsafePointer<Float>, _ columns: Int) -> [Float] {
      rows.flatMap { Array(UnsafeBufferPointer(start: values + $0.lowerBound * columns, count: $0.count * columns)) }
    }
    let activation = gathered(start.activation, description.width(of: start.place.site))
    let rest = start.rest.map { gathered($0, description.width) }
    try activation.withUnsafeBufferPointer { activation in
      try (rest ?? []).withUnsafeBufferPointer { restValues in
        let start = Start(
          start.place, activation: activation.baseAddress!, rest: rest == nil ? nil : restValues.baseAddress!)
        let pass = inDouble!.forward(ModelInput(input, rows: rows), from: start, showing: []) { _, _ in }
        _ = inDouble!.losses(pass, dResidual: pass.dResidual)
        try inDouble!.backward(pass.taking(later), at: places) { place, values in
          let rows = rows.flatMap { $0.map(Int32.init) }
          try record(place, PlaceGradient(values: values, operations: inDouble!.operations, rows: rows))
        }
      }
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
