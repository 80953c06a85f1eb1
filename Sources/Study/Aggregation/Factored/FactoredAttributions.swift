import CVectorMath
import SystemIO
import TensorOperations
import TensorStream

/// Attributions of features, a · ∂L/∂f, of one place's factored gradients: a product of two rows for every feature that
/// is active at a position, and none for all others.
///
/// Positions are gathered: where the active features vary, nearly all of the decoder is read, and so once for all of
/// them.
final class FactoredAttributions {
  fileprivate enum Event {
    /// So many of the pairs belong to a position of the unit, each of which counts `factor` times.
    case position(UnitKey, factor: Double, pairs: Range<Int>, isFirst: Bool)
    case complete(UnitKey, weight: Double)
  }

  private let basis: Basis
  private let measures: [Measure]
  private let team: ThreadTeam
  private let budget: GatheringBudget
  /// Gradients g of the gathered positions, (positions, D); room for all is taken when the first comes.
  private lazy var gradients = AlignedBuffer(capacity: capacity * basis.decoder.columns * MemoryLayout<Float>.stride)
  private lazy var capacity = budget.positions(features: basis.decoder.rows, width: basis.decoder.columns)
  private var positions = 0
  private var events: [Event] = []
  /// Of each active feature at a position: the position, the feature and its value.
  private var rows: [Int32] = []
  private var features: [Int32] = []
  private var values: [Float] = []

  /// Pairs that are gathered at most, but for those of one more position.
  private static let pairCapacity = 1 << 20

  init(_ basis: Basis, _ measures: [Measure], _ team: ThreadTeam, _ budget: GatheringBudget) {
    (self.basis, self.measures, self.team, self.budget) = (basis, measures, team, budget)
    budget.enter()
  }

  deinit { budget.leave() }

  func add(
    _ active: ActiveRow, g: UnsafePointer<Float>, isFirst: Bool, factor: Double, of key: UnitKey,
    to sums: inout PlaceSums
  ) {
    guard !active.features.isEmpty else { return }
    let D = basis.decoder.columns
    (gradients.address.assumingMemoryBound(to: Float.self) + positions * D).update(from: g, count: D)
    let first = features.count
    rows.append(contentsOf: repeatElement(Int32(positions), count: active.features.count))
    features.append(contentsOf: active.features)
    values.append(contentsOf: active.values)
    events.append(.position(key, factor: factor, pairs: first..<features.count, isFirst: isFirst))
    positions += 1
    if positions >= mostPositions || features.count >= Self.pairCapacity { multiply(to: &sums) }
  }

  /// Fewer than the capacity where places came later.
  private var mostPositions: Int {
    min(capacity, budget.positions(features: basis.decoder.rows, width: basis.decoder.columns))
  }

  func complete(_ key: UnitKey, weight: Double) { events.append(.complete(key, weight: weight)) }

  /// Adds all that was gathered to `sums`.
  func multiply(to sums: inout PlaceSums) {
    let products = products()
    for event in events {
      for measure in measures {
        switch event {
        case .complete(let key, let weight): sums[measure].complete(key, weight: weight)
        case .position(let key, let factor, let pairs, let isFirst):
          features.withUnsafeBufferPointer { features in
            sums[measure].add(
              UnsafeBufferPointer(rebasing: features[pairs]), isFirst: isFirst, of: key, factor: factor
            ) { products[pairs.lowerBound + $0] }
          }
        }
      }
    }
    events = []
    positions = 0
    rows.removeAll(keepingCapacity: true)
    features.removeAll(keepingCapacity: true)
    values.removeAll(keepingCapacity: true)
    MappedFile.letGo(of: basis.hostDecoder.bytes)
  }

  /// a · factor · ⟨decoder_f, g⟩ of every pair.
  private func products() -> [Double] {
    let pairs = PairsByFeature(features, of: basis.decoder.rows, at: rows)
    var products = [Double](repeating: 0, count: features.count)
    products.withUnsafeMutableBufferPointer { products in
      nonisolated(unsafe) let products = products.baseAddress!
      let parts = FeatureParts(pairs, positions: positions).all
      team.run(parts.count) { multiply(parts[$0], of: pairs, into: products) }
    }
    return products
  }

  private func multiply(
    _ part: FeatureParts.Part, of pairs: PairsByFeature, into products: UnsafeMutablePointer<Double>
  ) {
    let most = part.features.lazy.map { pairs.range($0).count }.max() ?? 0
    withUnsafeTemporaryAllocation(of: Double.self, capacity: most) { dots in
      var rows = GatheredDecoderRows(basis.hostDecoder)
      for first in stride(from: 0, to: part.features.count, by: GatheredDecoderRows.atATime) {
        let together = part.features.dropFirst(first).prefix(GatheredDecoderRows.atATime)
        rows.read(together.map { pairs.features[$0] })
        multiply(together, rows, part.positionsAtATime, of: pairs, dots.baseAddress!, into: products)
      }
    }
  }

  /// - Parameter dots: room for the products of a feature's pairs.
  private func multiply(
    _ chosen: ArraySlice<Int>, _ lines: GatheredDecoderRows, _ positionsAtATime: Int, of pairs: PairsByFeature,
    _ dots: UnsafeMutablePointer<Double>, into products: UnsafeMutablePointer<Double>
  ) {
    let (D, g) = (basis.decoder.columns, gradients.address.assumingMemoryBound(to: Float.self))
    var next = chosen.map { pairs.range($0).lowerBound }
    for begin in stride(from: 0, to: positions, by: positionsAtATime) {
      for (line, feature) in chosen.enumerated() {
        let own = pairs.range(next[line], of: feature, before: begin + positionsAtATime)
        guard !own.isEmpty else { continue }
        next[line] = own.upperBound
        pairs.positions.withUnsafeBufferPointer {
          vector_dot_rows(dots, lines[line], g, $0.baseAddress! + own.lowerBound, own.count, D)
        }
        let factor = Double(basis.factors?[Int(pairs.features[feature])] ?? 1)
        for (place, pair) in own.enumerated() {
          let number = Int(pairs.numbers[pair])
          products[number] = dots[place] * Double(values[number]) * factor
        }
      }
    }
  }
}
