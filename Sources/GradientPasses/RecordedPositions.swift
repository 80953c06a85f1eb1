import TensorStream

/// What positions are counted along, to take every n-th of them.
public enum StrideScope: String, CaseIterable, Sendable {
  /// The tokens of each sample.
  case sample
  /// The real tokens of the batch's samples, one sample after another, as the Python scripts count.
  case batch
}

/// The positions of a batch whose gradients are recorded: real tokens only, every `stride`-th of them.
struct RecordedPositions {
  /// The batch's rows, ascending.
  let rows: [Int]
  private let cuPositions: [Int32]
  private let positions: [Int32]

  init(_ tokens: TokenBatch, stride: Int = 1, scope: StrideScope = .sample) {
    var rows: [Int] = []
    var cuPositions: [Int32] = [0]
    var positions: [Int32] = []
    // The position to take next.
    var next = 0
    for sample in 0..<tokens.sampleCount {
      let first = tokens.rows(of: sample).lowerBound
      let length = tokens.validLength(of: sample)
      if scope == .sample { next = 0 }
      while next < length {
        rows.append(first + next)
        positions.append(Int32(next))
        next += stride
      }
      next -= length
      cuPositions.append(Int32(rows.count))
    }
    self.rows = rows
    self.cuPositions = cuPositions
    self.positions = positions
  }

  /// The recorded ones of a tensor's rows, `columns` wide, in memory of the host.
  func gather(_ all: UnsafePointer<Float>, columns: Int, into kept: HostTensor) {
    let destination = kept.resize(rows.count * columns)
    for (index, row) in rows.enumerated() {
      (destination + index * columns).update(from: all + row * columns, count: columns)
    }
  }

  /// What a gradients record says of these rows.
  func description(of tokens: TokenBatch, loss: [Double]?) -> GradientBatch {
    GradientBatch(
      cuPositions: cuPositions, position: positions, sampleIndex: tokens.sampleIndex, predictions: tokens.predictions,
      loss: loss)
  }
}
