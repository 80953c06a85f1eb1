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
  /// Each row's position in its sample.
  private let positions: [Int32]
  /// The token at each row.
  private let tokens: [Int32]

  init(_ group: SampleGroup, stride: Int = 1, scope: StrideScope = .sample) {
    var rows: [Int] = []
    var starts = [0]
    var positions: [Int32] = []
    for member in group.members {
      // The position to take next.
      var next = 0
      for sample in member.samples {
        let first = group.tokens.rows(of: sample).lowerBound
        let length = group.tokens.validLength(of: sample)
        if scope == .sample { next = 0 }
        while next < length {
          rows.append(first + next)
          positions.append(Int32(next))
          next += stride
        }
        next -= length
        starts.append(rows.count)
      }
    }
    self.rows = rows
    self.starts = starts
    self.positions = positions
    tokens = rows.map { group.tokens.inputIDs[$0] }
  }

  /// Where the recorded positions of these samples lie in `rows`.
  func range(of samples: Range<Int>) -> Range<Int> { starts[samples.lowerBound]..<starts[samples.upperBound] }

  /// The recorded ones of these samples' rows, counted from the first of them.
  func rows(of samples: Range<Int>, in group: SampleGroup) -> [Int32] {
    let first = group.tokens.rows(of: samples.lowerBound).lowerBound
    return rows[range(of: samples)].map { Int32($0 - first) }
  }

  /// What a gradients record says of a member's rows.
  func description(of member: SampleGroup.Member, loss: [Double]) -> GradientBatch {
    let kept = range(of: member.samples)
    return GradientBatch(
      cuPositions: starts[member.samples.lowerBound...member.samples.upperBound].map { Int32($0 - kept.lowerBound) },
      position: Array(positions[kept]), token: Array(tokens[kept]), sampleIndex: member.tokens.sampleIndex,
      predictions: member.tokens.predictions, loss: Array(loss[member.samples]))
  }
}

extension OutputRecord {
  /// Adds a member's rows of a tensor of all recorded positions, without a copy.
  mutating func add(_ name: String, _ kept: HostTensor, _ rows: Range<Int>, columns: Int) {
    let values = UnsafeBufferPointer(
      rebasing: kept.values[rows.lowerBound * columns..<rows.upperBound * columns])
    add(name, borrowing: values, shape: [rows.count, columns])
  }
}
