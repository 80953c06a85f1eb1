import Aggregation
import SystemIO
import TensorStream
import TestSupport

/// Two sites of one layer, which nothing may take for each other.
let mlpOut = Place(.mlpOut, 3)
let residPost = Place(.residPost, 3)

/// A gradients record in plain arrays, and the averages as design and README define them, in plain loops.
struct RaggedBatch {
  var width: Int
  /// By sample the gradients at its positions, by place.
  var places: [Place: [[[Float]]]]
  var predictions: [Int]
  var samples: [Int64]
  var loss: [Double]?
  /// As `places`; of features, most are 0.
  var activations: [Place: [[[Float]]]] = [:]
  var areFeatures = false

  /// Two or three samples each.
  var documents: [Int64] { samples.map { $0 * 2 / 5 } }

  /// Batches of all shapes: samples of one position, of many, of none, without predictions; an empty batch.
  static func examples(width: Int, seed: UInt64, areFeatures: Bool? = nil) -> [RaggedBatch] {
    var numbers = SeededNumbers(seed: seed)
    var next: Int64 = 0
    return [[3, 1, 5, 2], [1], [0, 4], [], [7, 0, 0, 2, 9], [0]].map { (lengths: [Int]) in
      let samples = lengths.map { _ in
        next += 1
        return next + (next > 6 ? 100 : 0)
      }
      let places = [(residPost, 1), (mlpOut, 4)].map { place, scale in
        (place, lengths.map { length in (0..<length).map { _ in numbers.floats(width, scale: scale) } })
      }
      var batch = RaggedBatch(
        width: width,
        places: Dictionary(uniqueKeysWithValues: places), predictions: lengths.map { $0 == 1 ? 0 : 2 * $0 + 1 },
        samples: samples, loss: lengths.map { Double($0) + 0.25 })
      guard let areFeatures else { return batch }
      batch.areFeatures = areFeatures
      batch.activations = batch.places.mapValues { samples in
        samples.map { rows in
          rows.map { _ in
            numbers.floats(width).map { areFeatures && Int.random(in: 0..<3, using: &numbers) > 0 ? 0 : $0 }
          }
        }
      }
      return batch
    }
  }

  var record: OutputRecord {
    var record = OutputRecord()
    let lengths = places.values.first!.map(\.count)
    GradientBatch(
      cuPositions: lengths.reduce(into: [0]) { $0.append($0.last! + Int32($1)) },
      position: lengths.flatMap { (0..<Int32($0)).map { $0 * 4 } },
      token: lengths.flatMap { 0..<Int32($0) }, sampleIndex: samples, document: documents,
      predictions: predictions.map(Int32.init),
      loss: loss
    ).add(to: &record)
    for (place, rows) in places {
      let flat = rows.flatMap { $0 }
      record.add(PlaceValue.gradient.name(place), flat.flatMap { $0 }, shape: [flat.count, width])
      guard let activations = activations[place]?.flatMap({ $0 }) else { continue }
      if areFeatures {
        let active = activations.map { row in row.indices.filter { row[$0] != 0 } }
        record.add(
          PlaceValue.activeOffsets.name(place), active.reduce(into: [0]) { $0.append($0.last! + Int64($1.count)) })
        record.add(PlaceValue.feature.name(place), active.flatMap { $0.map(Int32.init) })
        record.add(
          PlaceValue.featureValue.name(place),
          zip(activations, active).flatMap { row, active in active.map { row[$0] } })
      } else {
        record.add(
          PlaceValue.activation.name(place), activations.flatMap { $0 }, shape: [activations.count, width])
      }
    }
    return record
  }

  /// A batch for each sample.
  var apart: [RaggedBatch] {
    samples.indices.map { i in
      var one = self
      one.places = places.mapValues { [$0[i]] }
      one.activations = activations.mapValues { [$0[i]] }
      (one.predictions, one.samples, one.loss) = ([predictions[i]], [samples[i]], loss.map { [$0[i]] })
      return one
    }
  }
}

/// The average of `batches` by the definition.
func oracle(_ batches: [RaggedBatch], place: Place, width: Int, _ mode: AveragingMode, _ choices: AggregationChoices)
  -> [Double]
{
  /// The mean over vectors.
  func mean(_ vectors: [[Double]]) -> [Double] {
    (0..<width).map { i in vectors.reduce(0) { $0 + $1[i] } / Double(vectors.count) }
  }
  var groups: [[[Double]]] = []
  for batch in batches {
    var ofBatch: [[[Double]]] = []
    for (sample, positions) in batch.places[place]!.enumerated() {
      let c =
        switch choices.lossReduction {
        case .sum: 1.0
        case .padded: 1 / Double(choices.paddedPredictions!)
        case .sample: 1 / Double(max(batch.predictions[sample], 1))
        case .batch: 1 / Double(max(batch.predictions.reduce(0, +), 1))
        }
      ofBatch.append(positions.map { $0.map { mode == .mean ? c * Double($0) : abs(c * Double($0)) } })
    }
    switch choices.weighting {
    case .position: groups += ofBatch.flatMap { $0 }.map { [$0] }
    case .sample: groups += ofBatch
    case .batch: groups.append(ofBatch.flatMap { $0 })
    }
  }
  return mean(groups.filter { !$0.isEmpty }.map(mean))
}

/// Gives the records of a stream to `body`, the first being record 1.
func reading(_ kind: StreamKind, _ records: [OutputRecord], _ body: (Record) throws -> Void) throws {
  let bytes = try streamBytes { writer in
    try writer.begin(kind, provenance: [:])
    for (number, record) in records.enumerated() { try writer.write(record, batch: number) }
    try writer.end()
  }
  let reader = StreamReader(try ReusedFile().opened(with: bytes))
  _ = try reader.nextSegment()
  while let record = try reader.nextRecord() { try body(record) }
}

func aggregated(
  _ batches: [RaggedBatch], _ choices: AggregationChoices, allowsNonfinite: Bool = false,
  budget: GatheringBudget = GatheringBudget()
) throws -> GradientSums {
  let sums = GradientSums(choices, allowsNonfinite: allowsNonfinite, budget: budget)
  try reading(.gradients, batches.map(\.record)) { try sums.add(gradients: $0) }
  sums.finish()
  return sums
}

/// All numbers of the record that sums write, by their tensors' names.
func tensors(of sums: GradientSums) throws -> [String: [Double]] {
  var all: [String: [Double]] = [:]
  try reading(.aggregates, [sums.record()]) { (record) throws in
    for tensor in record.header.tensors {
      let shape = tensor.shape.map(Optional.some)
      all[tensor.name] =
        tensor.type == .i64
        ? try record.tensor(tensor.name, shape: shape, of: Int64.self).map { Double($0) }
        : Array(try record.tensor(tensor.name, shape: shape, of: Double.self))
    }
  }
  return all
}
