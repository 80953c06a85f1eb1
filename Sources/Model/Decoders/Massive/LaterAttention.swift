import TensorOperations

/// What a pass over all rows gives to the same pass in Double over the first rows of some samples, on the way back: later
/// rows attend to the first ones, and so add to the gradients of their keys and values. Nothing goes the other way.
///
/// Of these samples attention goes back anew, from the pass's own queries, keys and values but for the first rows', which
/// separates what later rows add from the first rows' own part.
final class LaterAttention {
  /// A sample and how many of its rows are computed in Double.
  typealias FirstRows = (sample: PackedSamples.Sample, count: Int)

  private let pass: PassTensors
  private let double: DoubleOperations
  private let firstRows: [FirstRows]
  /// Of these samples alone.
  private let samples: PackedSamples
  /// The rows of these samples in the pass.
  private let rows: [Int32]
  /// The gradient at attn_z of each layer, (rows, heads · head width).
  private var dOutputs: [Int: [Float]] = [:]

  /// - Parameter pass: over all rows; its activations must stay until the way back in Double is over.
  init(_ firstRows: [FirstRows], of pass: PassTensors, _ double: DoubleOperations) {
    (self.firstRows, self.pass, self.double) = (firstRows, pass, double)
    var end = 0
    samples = PackedSamples(
      firstRows.map {
        end += $0.sample.rows.count
        return .init(rows: end - $0.sample.rows.count..<end, valid: $0.sample.valid)
      })
    rows = firstRows.flatMap { $0.sample.rows.map(Int32.init) }
  }

  /// The rows of the pass that are computed in Double, sample by sample.
  var rangesInDouble: [Range<Int>] {
    firstRows.map { $0.sample.rows.lowerBound..<$0.sample.rows.lowerBound + $0.count }
  }

  /// Keeps a layer's gradient at attn_z.
  func keep(_ layer: Int, _ dOutput: Tensor) { dOutputs[layer] = downloaded(dOutput) }

  /// Adds to dKey and dValue, of the first rows, what later rows add to them.
  ///
  /// - Parameters:
  ///   - key: the first rows' in Double, as is `value`.
  func add(_ layer: Int, toKey dKey: Tensor, value dValue: Tensor, key: Tensor, value: Tensor, _ shape: AttentionShape)
  {
    let saved = pass.saved(layer)
    let query = made(downloaded(saved.query))
    let (allKeys, allValues) = (made(downloaded(saved.key)), made(downloaded(saved.value)))
    let dOutput = made(dOutputs[layer]!)
    forEachFirstRow { row, place in
      allKeys.doubles(row: row).update(from: key.doubles(row: place), count: key.columns)
      allValues.doubles(row: row).update(from: value.doubles(row: place), count: value.columns)
      // Their own part is in the first rows' own way back.
      dOutput.doubles(row: row).update(repeating: 0, count: dOutput.columns)
    }
    let output = double.makeTensor(rows: rows.count, columns: shape.queryWidth)
    let logSumExp = double.makeTensor(rows: rows.count, columns: 2 * shape.heads)
    double.attention(
      output: output, logSumExp: logSumExp, query: query, key: allKeys, value: allValues, samples: samples, shape: shape
    )
    let dQuery = double.makeTensor(rows: rows.count, columns: shape.queryWidth)
    let (dKeys, dValues) = (
      double.makeTensor(rows: rows.count, columns: shape.keyValueWidth),
      double.makeTensor(rows: rows.count, columns: shape.keyValueWidth)
    )
    double.attentionBackward(
      dQuery: dQuery, dKey: dKeys, dValue: dValues, dOutput: dOutput, output: output, logSumExp: logSumExp,
      query: query, key: allKeys, value: allValues, samples: samples, shape: shape)
    forEachFirstRow { row, place in
      for i in 0..<shape.keyValueWidth {
        dKey.doubles(row: place)[i] += dKeys.doubles(row: row)[i]
        dValue.doubles(row: place)[i] += dValues.doubles(row: row)[i]
      }
    }
  }

  /// Shows each first row's number among the samples' rows and among the first rows.
  private func forEachFirstRow(_ body: (_ row: Int, _ place: Int) -> Void) {
    var place = 0
    for (sample, first) in zip(samples.samples, firstRows) {
      for row in sample.rows.prefix(first.count) {
        body(row, place)
        place += 1
      }
    }
  }

  private func downloaded(_ tensor: Tensor) -> [Float] { pass.operations.downloaded(tensor, rows: rows) }

  private func made(_ values: [Float]) -> Tensor {
    let tensor = double.makeTensor(rows: rows.count, columns: values.count / rows.count)
    double.upload(tensor, from: values)
    return tensor
  }
}

/// What a layer's way back through attention does with `LaterAttention`.
enum LaterAttentionUse {
  /// That of all rows, in Float.
  case kept(in: LaterAttention)
  /// That of the first rows, in Double.
  case added(from: LaterAttention)
}
