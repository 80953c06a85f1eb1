import TensorStream

/// The positions of a batch whose gradients are recorded: real tokens only, every `stride`-th of each sample.
struct RecordedPositions {
  /// The batch's rows, ascending.
  let rows: [Int]
  private let cuPositions: [Int32]
  private let positions: [Int32]

  init(_ tokens: TokenBatch, stride: Int) {
    var rows: [Int] = []
    var cuPositions: [Int32] = [0]
    var positions: [Int32] = []
    for sample in 0..<tokens.sampleCount {
      let first = tokens.rows(of: sample).lowerBound
      for position in Swift.stride(from: 0, to: tokens.validLength(of: sample), by: stride) {
        rows.append(first + position)
        positions.append(Int32(position))
      }
      cuPositions.append(Int32(rows.count))
    }
    self.rows = rows
    self.cuPositions = cuPositions
    self.positions = positions
  }

  func areAllRows(of count: Int) -> Bool { rows.count == count }

  /// What a gradients record says of these rows.
  func description(of tokens: TokenBatch, loss: [Double]?) -> GradientBatch {
    GradientBatch(
      cuPositions: cuPositions, position: positions, sampleIndex: tokens.sampleIndex, predictions: tokens.predictions,
      loss: loss)
  }
}
