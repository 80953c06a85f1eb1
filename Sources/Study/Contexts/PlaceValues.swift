import Aggregation
import TensorStream

/// What a record has of some features at a place, each of which stands in a slot.
struct PlaceValues {
  let features: [Int]
  let batch: GradientBatch
  /// (P, width); of factored gradients, what the decoder multiplies.
  let gradients: UnsafePointer<Float>
  let width: Int
  let decoder: DecoderRows?
  let activations: RecordedActivations?
  let window: Int

  func gradient(_ slot: Int, _ row: Int) -> Double {
    let g = gradients + row * width
    return decoder?.gradient(slot, g) ?? Double(g[features[slot]])
  }

  /// nil where the record has none.
  func activation(_ slot: Int, _ row: Int) -> Float? {
    switch activations {
    case nil: return nil
    case .dense(let all): return all[row * width + features[slot]]
    case .active(let active):
      let (listed, numbers) = active.row(row)
      return listed.firstIndex(of: Int32(features[slot])).map { numbers[$0] } ?? 0
    }
  }

  /// All that is kept of a position.
  func context(_ slot: Int, _ row: Int, _ sample: Int) -> FeatureContext {
    let position = Int(batch.position[row])
    let isNear = { (other: Int32) in abs(Int(other) - position) <= window }
    let near = batch.rows(of: sample).filter { isNear(batch.position[$0]) }
    let neighbours = near.filter { $0 != row }.map {
      FeatureContext.Neighbour(
        position: batch.position[$0], token: batch.token[$0], activation: activation(slot, $0))
    }
    let last = batch.rows(of: sample).map { Int(batch.position[$0]) }.max()!
    return FeatureContext(
      sample: batch.sampleIndex[sample], position: batch.position[row], token: batch.token[row],
      predictions: batch.predictions[sample], activation: activation(slot, row), gradient: gradient(slot, row),
      neighbours: neighbours.sorted { $0.position < $1.position },
      lastKnownPosition: Int32(min(last, position + window)))
  }
}
