import Aggregation
import Contexts
import SystemIO
import TensorOperations
import TensorStream
import TestSupport

let place = Place(.residPost, 3)

/// Gradients and activations of ragged samples, most values of a coarse grid and so equal to others, and what a search
/// through all of them finds.
struct GridStream {
  struct Row {
    let sample: Int64
    let position: Int32
    let token: Int32
    let predictions: Int32
    let gradients: [Float]
    let activations: [Float]
  }

  /// How activations are written.
  enum Form { case dense, active, none }

  var width = 5
  /// By record, then by sample.
  var records: [[[Row]]] = []

  var rows: [Row] { records.flatMap { $0.flatMap { $0 } } }

  init(seed: UInt64, recordCount: Int = 9, longest: Int = 8) {
    var numbers = SeededNumbers(seed: seed)
    var sample: Int64 = 0
    for _ in 0..<recordCount {
      records.append(
        (0..<Int.random(in: 0...4, using: &numbers)).map { _ in
          sample += 1
          let count = Int.random(in: 0...longest, using: &numbers)
          return (0..<count).map { index in
            func grid() -> [Float] { (0..<width).map { _ in Float(Int.random(in: -2...2, using: &numbers)) / 2 } }
            return Row(
              sample: sample, position: Int32(2 * index), token: Int32(100 * sample) + Int32(2 * index),
              predictions: Int32(2 * count), gradients: grid(), activations: grid())
          }
        })
    }
  }

  /// - Parameter gradients: those of a row as the stream has them.
  func bytes(
    _ form: Form = .dense, provenance: [String: String] = [:], gradients: (Row) -> [Float] = \.gradients
  ) throws -> [UInt8] {
    try streamBytes { writer in
      try writer.begin(.gradients, provenance: provenance)
      for (number, samples) in records.enumerated() {
        let rows = samples.flatMap { $0 }
        let kept = samples.filter { !$0.isEmpty }
        var record = OutputRecord()
        GradientBatch(
          cuPositions: kept.reduce(into: [0]) { $0.append($0.last! + Int32($1.count)) },
          position: rows.map(\.position), token: rows.map(\.token), sampleIndex: kept.map { $0[0].sample },
          predictions: kept.map { $0[0].predictions }
        ).add(to: &record)
        let own = rows.map(gradients)
        let columns = own.first?.count ?? gradients(self.rows[0]).count
        record.add(PlaceValue.gradient.name(place), own.flatMap { $0 }, shape: [rows.count, columns])
        switch form {
        case .none: break
        case .dense:
          record.add(
            PlaceValue.activation.name(place), rows.flatMap(\.activations), shape: [rows.count, width])
        case .active:
          // One that is 0 is listed now and then, and must not count.
          let active = rows.map { row in row.activations.indices.filter { row.activations[$0] != 0 || $0 == 1 } }
          record.add(
            PlaceValue.activeOffsets.name(place), active.reduce(into: [0]) { $0.append($0.last! + Int64($1.count)) })
          record.add(PlaceValue.feature.name(place), active.flatMap { $0.map(Int32.init) })
          record.add(
            PlaceValue.featureValue.name(place),
            zip(rows, active).flatMap { row, all in all.map { row.activations[$0] } })
        }
        try writer.write(record, batch: number)
      }
      try writer.end()
    }
  }

  /// The rows of a feature's contexts.
  func largest(_ feature: Int, _ choices: ContextChoices) -> [Row] {
    func value(_ row: Row) -> Double {
      let (a, g) = (Double(row.activations[feature]), Double(row.gradients[feature]))
      return abs(choices.quantity == .attribution ? a * g : choices.quantity == .activation ? a : g)
    }
    let sorted = rows.filter { value($0) != 0 }.sorted {
      (-value($0), $0.sample, $0.position) < (-value($1), $1.sample, $1.position)
    }
    var seen: Set<Int64> = []
    return Array(sorted.filter { seen.insert($0.sample).inserted || choices.repeatsSamples }.prefix(choices.count))
  }
}

/// What a search through a stream finds of each feature.
func search(
  _ bytes: [UInt8], _ features: [Int], _ choices: ContextChoices
) throws -> [(feature: FeatureName, contexts: [RankedContext])] {
  let search = ContextSearch(features.map { FeatureName(place, $0) }, choices, sae: nil, threads: 1)
  let reader = StreamReader(try ReusedFile().opened(with: bytes))
  while let segment = try reader.nextSegment(.gradients) {
    try search.begin(segment)
    while let record = try reader.nextRecord() { _ = try search.add(record) }
  }
  return try search.finish()
}

/// The message of what `body` throws, and its kind.
func failure(_ body: () throws -> Void) -> Failure? {
  do { try body() } catch { return error as? Failure }
  return nil
}
