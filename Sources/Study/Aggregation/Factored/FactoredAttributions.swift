import CVectorMath
import SystemIO
import TensorOperations
import TensorStream

/// Attributions of features, a · ∂L/∂f, of one place's factored gradients: a product of two rows for every feature that
/// is active at a position, and none for all others.
///
/// Positions are gathered: where the active features vary, nearly all of the decoder is read, and so once for all of
/// them. More of them would not stay in the cache, out of which each product reads a position's gradient.
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
  private static let (capacity, pairCapacity) = (4096, 1 << 19)
  /// Features whose rows of a decoder that lies by columns a thread brings together at a time.
  private static let featuresAtATime = 256
  /// As many parts as the features are cut into for the threads.
  private static let parts = 32

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
    let pairs = PairsByFeature(features, of: basis.decoder.rows, at: rows)
    let (count, parts) = (pairs.features.count, min(Self.parts, pairs.features.count))
    var products = [Double](repeating: 0, count: features.count)
    products.withUnsafeMutableBufferPointer { products in
      nonisolated(unsafe) let products = products.baseAddress!
      team.run(parts) { part in
        multiply(count * part / parts..<count * (part + 1) / parts, of: pairs, into: products)
      }
    }
    return products
  }

  /// The pairs of some features, which are counted among those that are in any pair.
  private func multiply(_ part: Range<Int>, of pairs: PairsByFeature, into products: UnsafeMutablePointer<Double>) {
    let (D, g) = (basis.decoder.columns, gradients.address.assumingMemoryBound(to: Float.self))
    let most = (pairs.starts[part.lowerBound]..<pairs.starts[part.upperBound]).count
    withUnsafeTemporaryAllocation(of: Double.self, capacity: most) { dots in
      forEachRow(of: part, pairs) { feature, row in
        let own = pairs.starts[feature]..<pairs.starts[feature + 1]
        pairs.positions.withUnsafeBufferPointer {
          vector_dot_rows(dots.baseAddress!, row, g, $0.baseAddress! + own.lowerBound, own.count, D)
        }
        let factor = Double(basis.factors?[Int(pairs.features[feature])] ?? 1)
        for (dot, number) in zip(dots, pairs.numbers[own]) {
          products[Int(number)] = dot * Double(values[Int(number)]) * factor
        }
      }
    }
  }

  /// Hands over the decoder's rows of those features.
  private func forEachRow(of part: Range<Int>, _ pairs: PairsByFeature, _ body: (Int, UnsafePointer<Float>) -> Void) {
    let (decoder, D) = (basis.hostDecoder, basis.decoder.columns)
    guard decoder.isColumnMajor else {
      for feature in part { body(feature, decoder.floats + Int(pairs.features[feature]) * decoder.leadingDimension) }
      return
    }
    let lines = AlignedBuffer(capacity: min(part.count, Self.featuresAtATime) * D * MemoryLayout<Float>.stride)
    let line = lines.address.assumingMemoryBound(to: Float.self)
    for first in stride(from: part.lowerBound, to: part.upperBound, by: Self.featuresAtATime) {
      let together = first..<min(first + Self.featuresAtATime, part.upperBound)
      decoder.copyRows(Array(pairs.features[together]), to: line)
      for feature in together { body(feature, line + (feature - first) * D) }
    }
  }
}
