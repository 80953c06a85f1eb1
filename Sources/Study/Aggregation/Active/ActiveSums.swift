import SystemIO
import TensorOperations
import TensorStream

/// Sums over the active features of one place's positions: of attributions, of activations, and of how often each fires.
///
/// Positions are gathered, and their pairs of a feature and a position are then added up feature by feature: the sums of
/// a feature are read and written once for all of its pairs, and threads share the features.
final class ActiveSums {
  private let team: ThreadTeam
  private let budget: GatheringBudget
  private let hasAttributions: Bool
  private var gathered = GatheredPositions()
  /// What attributions are products of: of factored gradients, or else the gathered pairs' gradients.
  private let factored: ActiveGradients?
  private var gradients: [Double] = []

  /// - Parameters:
  ///   - basis: where the place's gradients are factored.
  ///   - team: what adds up, and multiplies on the processor whatever the basis' device is.
  init(_ measures: [Measure], _ basis: Basis?, _ team: ThreadTeam, _ budget: GatheringBudget) {
    (self.team, self.budget) = (team, budget)
    hasAttributions = measures.contains { $0.quantity == .attribution }
    factored = hasAttributions ? basis.map { ActiveGradients($0, team, budget) } : nil
    budget.enter()
  }

  deinit { budget.leave() }

  /// Adds a position to `sums`, now or later.
  ///
  /// - Parameters:
  ///   - g: the gradients of all features, or what the decoder multiplies.
  ///   - isFirst: whether it is its sample's position 0.
  func add(
    _ active: ActiveRow, g: UnsafePointer<Float>, isFirst: Bool, of part: SamplePart, to sums: inout PlaceSums
  ) {
    guard !active.features.isEmpty else { return }
    if let factored {
      factored.add(g, at: gathered.count)
    } else if hasAttributions {
      gradients.append(contentsOf: active.features.lazy.map { Double(g[Int($0)]) })
    }
    gathered.add(active, isFirst: isFirst, of: part)
    if gathered.pairCount >= budget.pairs || gathered.count >= factored?.capacity ?? .max { addUp(to: &sums) }
  }

  /// Tells that nothing more comes of a unit.
  func complete(_ key: UnitKey, weight: Double) { gathered.complete(key, weight: weight) }

  /// Adds all that was gathered to `sums`.
  func addUp(to sums: inout PlaceSums) {
    guard !gathered.isEmpty else { return }
    let gradients = factored?.gradients(of: gathered) ?? gradients
    let pairs = PairsByFeature(gathered, gradients: hasAttributions ? gradients : nil, features: sums.width)
    let units = gathered.unitsByCompletion
    func add(_ measure: Int, times factors: [Double], value: (Int) -> Double) {
      sums.measures[measure].add(pairs, of: gathered, units, times: factors, on: team, value: value)
    }
    pairs.values.withUnsafeBufferPointer { values in
      pairs.attributions.withUnsafeBufferPointer { attributions in
        for i in sums.measures.indices {
          switch sums.measures[i].measure.quantity {
          case .attribution: add(i, times: gathered.factors) { attributions[$0] }
          case .activation: add(i, times: gathered.weights) { Double(values[$0]) }
          // What is listed may be 0 all the same.
          case nil: add(i, times: gathered.weights) { values[$0] == 0 ? 0 : 1 }
          case .gradient: break
          }
        }
      }
    }
    gathered.removeAll()
    self.gradients.removeAll(keepingCapacity: true)
  }
}
