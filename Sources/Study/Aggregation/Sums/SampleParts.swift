import SystemIO
import TensorStream

/// What a sample adds to the sums at a place.
struct SamplePart {
  /// The unit that it is, or is a part of.
  let key: UnitKey
  let sample: Int64
  /// Its rows that count.
  let rows: [Range<Int>]
  /// The row of position 0, where it is recorded.
  let firstRow: Int?
  /// w of every row, and w·c.
  let weightOfRow: Double
  let factor: Double
  /// Σ w
  let weight: Double
}

extension GradientSums {
  /// Counts a batch's samples and weights.
  func weigh(
    _ batch: GradientBatch, of text: TextIdentity, into sums: inout PlaceSums, _ record: Record
  ) throws -> [SamplePart] {
    let batchPredictions = batch.predictions.reduce(0) { $0 + Int($1) }
    let rows = (0..<batch.sampleCount).map { batch.rows(of: $0, from: choices.firstPosition) }
    let counts = rows.map { $0.reduce(0) { $0 + $1.count } }
    let batchPositions = counts.reduce(0, +)
    var parts: [SamplePart] = []
    for sample in 0..<batch.sampleCount {
      let (count, index) = (counts[sample], batch.sampleIndex[sample])
      if let duplicate = sums.samples.insert(index..<index + 1, of: text) { throw record.twice(duplicate) }
      // A sample without predictions has no gradient: its rows are zeros and count as such.
      let predictions =
        switch choices.lossReduction {
        case .sum: 1
        case .padded: choices.paddedPredictions!
        case .sample: Int(batch.predictions[sample])
        case .batch: batchPredictions
        }
      let weight =
        switch choices.weighting {
        case .position: 1.0
        case .sample: 1 / Double(max(count, 1))
        case .batch: 1 / Double(max(batchPositions, 1))
        }
      let key = UnitKey(text: text, number: choices.unit == .sample ? index : batch.document[sample])
      parts.append(
        SamplePart(
          key: key, sample: index, rows: rows[sample],
          firstRow: batch.rows(of: sample).first { batch.position[$0] == 0 }, weightOfRow: weight,
          factor: weight / Double(max(predictions, 1)), weight: weight * Double(count)))
      sums.positions += count
      if choices.weighting == .sample, count > 0 { sums.weight += 1 }
    }
    switch choices.weighting {
    case .position: sums.weight += Double(batchPositions)
    case .sample: break
    case .batch: sums.weight += batchPositions > 0 ? 1 : 0
    }
    if let loss = batch.loss {
      sums.loss += loss.reduce(0, +)
      sums.predictions += batchPredictions
    }
    return parts
  }
}

extension GradientBatch {
  /// The rows of a sample at positions from `first` on, those that follow one another together.
  fileprivate func rows(of sample: Int, from first: Int) -> [Range<Int>] {
    let all = rows(of: sample)
    guard first > 0 else { return all.isEmpty ? [] : [all] }
    var parts: [Range<Int>] = []
    for row in all where Int(position[row]) >= first {
      if parts.last?.upperBound == row {
        parts[parts.count - 1] = parts[parts.count - 1].lowerBound..<row + 1
      } else {
        parts.append(row..<row + 1)
      }
    }
    return parts
  }
}

extension Record {
  func twice(_ sample: Int64) -> Failure {
    failure("sample \(sample) was aggregated already: is an input given twice?")
  }
}
