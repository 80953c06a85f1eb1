import CVectorMath
import SystemIO
import TensorOperations

/// Gradients of features, ∂L/∂f = factor · ⟨decoder_f, g⟩, of one place's factored gradients, and only where a feature is
/// active.
///
/// Each is a product of two rows, so it matters where these are read from. As many rows of the decoder as stay in the
/// cache that cores share are brought together there, and serve all positions, whose rows g come one after another.
final class ActiveGradients {
  private static let (rowsOfACopy, positionsOfAPart) = (256, 128)

  private let basis: Basis
  private let team: ThreadTeam
  private let budget: GatheringBudget
  /// g of the gathered positions, (positions, D); room for all is taken when the first comes.
  private lazy var g = AlignedBuffer(capacity: mostPositions * D * MemoryLayout<Float>.stride)
  private lazy var mostPositions = budget.positions(features: basis.decoder.rows, width: D)
  private lazy var rows = AlignedBuffer(capacity: rowsAtATime * D * MemoryLayout<Float>.stride)

  init(_ basis: Basis, _ team: ThreadTeam, _ budget: GatheringBudget) {
    (self.basis, self.team, self.budget) = (basis, team, budget)
  }

  private var D: Int { basis.decoder.columns }

  private var rowsAtATime: Int {
    min(max(budget.rowBytes / (D * MemoryLayout<Float>.stride), Self.rowsOfACopy), basis.decoder.rows)
  }

  /// How many positions may be gathered: fewer than there is room for where places came later.
  var capacity: Int { min(mostPositions, budget.positions(features: basis.decoder.rows, width: D)) }

  /// Keeps the row g of a position that is gathered.
  func add(_ row: UnsafePointer<Float>, at position: Int) {
    precondition(position < mostPositions)
    (g.address.assumingMemoryBound(to: Float.self) + position * D).update(from: row, count: D)
  }

  /// The gradients of all pairs of a feature and a position, in the order in which they were gathered.
  func gradients(of gathered: GatheredPositions) -> [Double] {
    let (active, ranks) = activeFeatures(gathered.features)
    // The pairs of a position ascend by feature: where those begin that are not multiplied yet.
    var next = gathered.starts
    return [Double](unsafeUninitializedCapacity: gathered.pairCount) { gradients, initialized in
      next.withUnsafeMutableBufferPointer { next in
        for first in stride(from: 0, to: active.count, by: rowsAtATime) {
          let some = active[first..<min(first + rowsAtATime, active.count)]
          readRows(of: some)
          multiply(gathered, some.indices, among: ranks, next.baseAddress!, into: gradients.baseAddress!)
        }
      }
      initialized = gathered.pairCount
      // One place's decoder in memory at a time. To map the only one again and again would take time.
      if budget.isShared { MappedFile.letGo(of: basis.hostDecoder.bytes) }
    }
  }

  /// The features that are in any pair, ascending, and of each feature its place among them.
  private func activeFeatures(_ features: [Int32]) -> (active: [Int32], ranks: [Int32]) {
    var ranks = [Int32](repeating: -1, count: basis.decoder.rows)
    for feature in features { ranks[Int(feature)] = 0 }
    let active = ranks.indices.filter { ranks[$0] == 0 }.map(Int32.init)
    for (rank, feature) in active.enumerated() { ranks[Int(feature)] = Int32(rank) }
    return (active, ranks)
  }

  private func readRows(of features: ArraySlice<Int32>) {
    nonisolated(unsafe) let rows = rows.address.assumingMemoryBound(to: Float.self)
    team.run(features.count, by: Self.rowsOfACopy) { some in
      basis.hostDecoder.copyRows(
        features[(features.startIndex + some.lowerBound)..<(features.startIndex + some.upperBound)],
        to: rows + some.lowerBound * D)
    }
  }

  /// Multiplies the rows that were read with those of all positions.
  ///
  /// - Parameters:
  ///   - some: the places of the rows' features among the active ones.
  ///   - next: of each position, its first pair of these or later features; then that of later ones.
  private func multiply(
    _ gathered: GatheredPositions, _ some: Range<Int>, among ranks: [Int32], _ next: UnsafeMutablePointer<Int>,
    into gradients: UnsafeMutablePointer<Double>
  ) {
    nonisolated(unsafe) let (next, gradients) = (next, gradients)
    let (D, factors) = (D, basis.factors)
    let rows = rows.address.assumingMemoryBound(to: Float.self)
    let g = g.address.assumingMemoryBound(to: Float.self)
    team.run(gathered.count, by: Self.positionsOfAPart) { positions in
      withUnsafeTemporaryAllocation(of: Int32.self, capacity: some.count) { chosen in
        for position in positions {
          let (begin, end) = (next[position], gathered.starts[position + 1])
          var pair = begin
          while pair < end, case let rank = Int(ranks[Int(gathered.features[pair])]), rank < some.upperBound {
            chosen[pair - begin] = Int32(rank - some.lowerBound)
            pair += 1
          }
          next[position] = pair
          vector_dot_rows(gradients + begin, g + position * D, rows, chosen.baseAddress!, pair - begin, D)
          guard let factors else { continue }
          for pair in begin..<pair { gradients[pair] *= Double(factors[Int(gathered.features[pair])]) }
        }
      }
    }
  }
}
