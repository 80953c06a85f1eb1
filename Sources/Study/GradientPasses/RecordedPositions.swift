import TensorStream

/// What positions are counted along, to take every n-th of them.
public enum StrideScope: String, CaseIterable, Sendable {
  /// The tokens of each sample.
  case sample
  /// The real tokens of the batch's samples, one sample after another, as the Python scripts count.
  case batch
}

/// The positions of a group whose gradients are recorded: real tokens only, every `stride`-th of them.
struct RecordedPositions {
  /// The group's rows, ascending.
  let rows: [Int]
  /// For each sample where its first recorded position lies in `rows`, and at last how many there are.
  private let starts: [Int]
  /// Each row's position in its sample, padding before it not counted.
  private let positions: [Int32]
  private let group: SampleGroup

  init(_ group: SampleGroup, stride: Int = 1, scope: StrideScope = .sample) {
    var rows: [Int] = []
    var starts = [0]
    var positions: [Int32] = []
    for record in group.records {
      // The position to take next.
      var next = 0
      for sample in record.samples {
        let valid = group.tokens.validRows(of: sample)
        if scope == .sample { next = 0 }
        while next < valid.count {
          rows.append(valid.lowerBound + next)
          positions.append(Int32(next))
          next += stride
        }
        next -= valid.count
        starts.append(rows.count)
      }
    }
    self.rows = rows
    self.starts = starts
    self.positions = positions
    self.group = group
  }

  /// Where the recorded positions of these samples lie in `rows`.
  func range(of samples: Range<Int>) -> Range<Int> { starts[samples.lowerBound]..<starts[samples.upperBound] }

  /// The recorded ones of these samples' rows, counted from the first of them.
  func rowsInPass(of samples: Range<Int>) -> [Int32] {
    let first = group.tokens.rows(of: samples.lowerBound).lowerBound
    return rows[range(of: samples)].map { Int32($0 - first) }
  }

  /// What the gradients record of these samples says of its rows.
  func description(of samples: Range<Int>, loss: [Double]) -> GradientBatch {
    let kept = range(of: samples)
    return GradientBatch(
      cuPositions: starts[samples.lowerBound...samples.upperBound].map { Int32($0 - kept.lowerBound) },
      position: Array(positions[kept]), token: rows[kept].map { group.tokens.inputIDs[$0] },
      sampleIndex: Array(group.tokens.sampleIndex[samples]), document: Array(group.tokens.document[samples]),
      predictions: samples.map { group.tokens.predictions(of: $0) },
      loss: Array(loss[samples]))
  }
}

extension OutputRecord {
  /// Adds some rows of a tensor of all recorded positions, without a copy.
  mutating func add(_ name: String, _ kept: HostTensor, _ rows: Range<Int>, columns: Int) {
    let values = UnsafeBufferPointer(
      rebasing: kept.values[rows.lowerBound * columns..<rows.upperBound * columns])
    add(name, borrowing: values, shape: [rows.count, columns])
  }
}
