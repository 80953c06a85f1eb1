import CVectorMath
import SystemIO
import TensorOperations
import TensorStream

/// Attributions of features, a · ∂L/∂f, of one place's factored gradients: a product of two rows for every feature that
/// is active at a position, and none for all others.
///
/// Positions are gathered: of a decoder that lies by columns nearly all is read, however few features are active, and so
/// once for all of them.
final class FactoredAttributions {
  fileprivate enum Event {
    /// So many of the pairs belong to a position of the unit, each of which counts `factor` times.
    case position(UnitKey, factor: Double, pairs: Range<Int>, isFirst: Bool)
    case complete(UnitKey, weight: Double)
  }

  private let basis: Basis
  private let measures: [Measure]
  private let team: ThreadTeam
  /// Gradients g of the gathered positions, (positions, D).
  private let gradients: AlignedBuffer
  private var positions = 0
  private var events: [Event] = []
  /// Of each active feature at a position: the position, the feature and its value.
  private var rows: [Int32] = []
  private var features: [Int32] = []
  private var values: [Float] = []

  /// Positions that are gathered at most, and pairs but for those of one more position.
  private static let (capacity, pairCapacity) = (2048, 1 << 19)
  /// Lines of the decoder that a thread has before it at a time.
  private static let linesAtATime = 256

  init(_ basis: Basis, _ measures: [Measure], _ team: ThreadTeam) {
    (self.basis, self.measures, self.team) = (basis, measures, team)
    gradients = AlignedBuffer(capacity: Self.capacity * basis.decoder.columns * MemoryLayout<Float>.stride)
  }

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
    if positions == Self.capacity || features.count >= Self.pairCapacity { multiply(to: &sums) }
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
    let order = pairsByFeature()
    var products = [Double](repeating: 0, count: order.count)
    let parts = min(16, order.count)
    products.withUnsafeMutableBufferPointer { products in
      nonisolated(unsafe) let products = products.baseAddress!
      team.run(parts) { part in
        multiply(order[order.count * part / parts..<order.count * (part + 1) / parts], into: products)
      }
      for pair in features.indices {
        products[pair] *= Double(values[pair]) * Double(basis.factors?[Int(features[pair])] ?? 1)
      }
    }
    return products
  }

  /// The pairs' numbers in the order of their features, those of one feature in their own.
  private func pairsByFeature() -> [Int] {
    var next = [Int](repeating: 0, count: basis.hostDecoder.rows + 1)
    for feature in features { next[Int(feature) + 1] += 1 }
    for feature in 1..<next.count { next[feature] += next[feature - 1] }
    var order = [Int](repeating: 0, count: features.count)
    for (pair, feature) in features.enumerated() {
      order[next[Int(feature)]] = pair
      next[Int(feature)] += 1
    }
    return order
  }

  /// Of pairs in the order of their features, some features' lines of the decoder at a time.
  private func multiply(_ pairs: ArraySlice<Int>, into products: UnsafeMutablePointer<Double>) {
    let (D, g) = (basis.decoder.columns, gradients.address.assumingMemoryBound(to: Float.self))
    let lines = AlignedBuffer(capacity: Self.linesAtATime * D * MemoryLayout<Float>.stride)
    let line = lines.address.assumingMemoryBound(to: Float.self)
    var rest = pairs
    while !rest.isEmpty {
      var chosen: [Int32] = []
      let end = rest.firstIndex { pair in
        if chosen.last != features[pair] { chosen.append(features[pair]) }
        return chosen.count > Self.linesAtATime
      }
      basis.hostDecoder.copyRows(Array(chosen.prefix(Self.linesAtATime)), to: line)
      var place = 0
      for pair in rest[..<(end ?? rest.endIndex)] {
        if features[pair] != chosen[place] { place += 1 }
        products[pair] = vector_dot(line + place * D, g + Int(rows[pair]) * D, D)
      }
      rest = rest[(end ?? rest.endIndex)...]
    }
  }
}
