import Decoders
import TensorStream

/// The ablations at a place.
final class PlaceAblations {
  final class Ablation {
    /// Which of all features it is.
    let slot: Int
    let direction: [Double]
    let target: Double
    /// Where it is not 0 in the group that was read last, ascending, and what it is there.
    fileprivate(set) var active: [(position: Int, value: Double)] = []

    init(slot: Int, direction: [Double], target: Double) {
      (self.slot, self.direction, self.target) = (slot, direction, target)
    }

    /// ⟨direction, g_row⟩
    func product(_ g: UnsafeBufferPointer<Float>, row: Int) -> Double {
      let g_t = g.baseAddress! + row * direction.count
      return direction.indices.reduce(0) { $0 + direction[$1] * Double(g_t[$1]) }
    }

    /// The first entry of `active` that lies at a position or behind it.
    fileprivate func firstActive(from position: Int) -> Int {
      var (low, high) = (0, active.count)
      while low < high {
        let middle = (low + high) / 2
        if active[middle].position < position { low = middle + 1 } else { high = middle }
      }
      return low
    }
  }

  let features: PlaceFeatures
  let pass: PackedPass
  let ablations: [Ablation]
  /// By feature.
  private let ablationOf: [Int: Ablation]

  init(
    _ features: PlaceFeatures, _ ablated: [(slot: Int, feature: AblatedFeature)], _ description: DecoderDescription,
    isDouble: Bool
  ) {
    self.features = features
    pass = PackedPass(features.place, description, isDouble: isDouble)
    ablations = ablated.map { slot, feature in
      Ablation(slot: slot, direction: features.direction(of: feature.index), target: feature.target)
    }
    ablationOf = Dictionary(uniqueKeysWithValues: zip(ablated.map(\.feature.index), ablations))
  }

  func read(_ group: SampleGroup, _ positions: RecordedPositions, _ starts: GroupStarts) {
    for ablation in ablations { ablation.active = [] }
    features.read(group, positions, starts) { position, feature, value in
      ablationOf[feature]?.active.append((position, features.exact(value, of: feature, at: position)))
    }
  }

  /// By how much of its direction an ablation changes the activation at each of these recorded positions where it does.
  func changes(of ablation: Ablation, in positions: Range<Int>) -> [(position: Int, change: Double)] {
    let active = ablation.active[ablation.firstActive(from: positions.lowerBound)...]
      .prefix { $0.position < positions.upperBound }
    var changes: [(position: Int, change: Double)] = []
    func change(_ position: Int, from value: Double) {
      let difference = ablation.target - value
      if difference != 0 { changes.append((position, difference * features.scale(at: position))) }
    }
    guard ablation.target != 0 else {
      for (position, value) in active { change(position, from: value) }
      return changes
    }
    var rest = active
    for position in positions {
      change(position, from: rest.first?.position == position ? rest.removeFirst().value : 0)
    }
    return changes
  }
}
