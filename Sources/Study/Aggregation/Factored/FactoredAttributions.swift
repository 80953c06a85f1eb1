import CVectorMath
import SystemIO
import TensorOperations
import TensorStream

/// Attributions of features, a · ∂L/∂f, of one place's factored gradients: a product of two rows for every feature that
/// is active at a position, and none for all others.
///
/// Positions are gathered, so that the decoder is read along its lines for all of them together.
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

  private static let capacity = 512

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
    if positions == Self.capacity { multiply(to: &sums) }
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
    let order = features.indices.sorted { (features[$0], $0) < (features[$1], $1) }
    var products = [Double](repeating: 0, count: features.count)
    let parts = min(16, order.count)
    products.withUnsafeMutableBufferPointer { products in
      nonisolated(unsafe) let products = products.baseAddress!
      if basis.hostDecoder.isColumnMajor {
        let transposed = transposedGradients()
        team.run(parts) { part in
          multiplyByColumns(
            order[order.count * part / parts..<order.count * (part + 1) / parts], transposed, into: products)
        }
      } else {
        let (D, g) = (basis.decoder.columns, gradients.address.assumingMemoryBound(to: Float.self))
        let decoder = basis.hostDecoder
        team.run(parts) { part in
          for pair in order[order.count * part / parts..<order.count * (part + 1) / parts] {
            let line = decoder.floats + Int(features[pair]) * decoder.leadingDimension
            products[pair] = vector_dot(line, g + Int(rows[pair]) * D, D)
          }
        }
      }
      for pair in features.indices {
        products[pair] *= Double(values[pair]) * Double(basis.factors?[Int(features[pair])] ?? 1)
      }
    }
    return products
  }

  /// (D, positions)
  private func transposedGradients() -> [Float] {
    let (D, g) = (basis.decoder.columns, gradients.address.assumingMemoryBound(to: Float.self))
    return [Float](unsafeUninitializedCapacity: D * positions) { transposed, count in
      for d in 0..<D {
        for row in 0..<positions { transposed[d * positions + row] = g[row * D + d] }
      }
      count = D * positions
    }
  }

  /// Of pairs in the order of their features, so that each column is read from its start to its end.
  private func multiplyByColumns(
    _ pairs: ArraySlice<Int>, _ transposed: [Float], into products: UnsafeMutablePointer<Double>
  ) {
    let (decoder, stride) = (basis.hostDecoder, positions)
    let columns = pairs.map { features[$0] }
    let positions = pairs.map { rows[$0] }
    var sums = [Double](repeating: 0, count: columns.count)
    transposed.withUnsafeBufferPointer { transposed in
      for d in 0..<decoder.columns {
        let (w, g) = (decoder.floats + d * decoder.leadingDimension, transposed.baseAddress! + d * stride)
        vector_add_products(&sums, w, columns, g, positions, columns.count)
      }
    }
    for (pair, sum) in zip(pairs, sums) { products[pair] = sum }
  }
}
