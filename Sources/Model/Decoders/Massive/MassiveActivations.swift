/// Where Float cannot give gradients.
///
/// A few positions of a sample have a residual stream that is hundreds of times as long as the others' (Sun et al. 2024,
/// Massive Activations in Large Language Models). Where it is so long, its length is settled, and rounding does little to
/// it. A position whose stream is on its way there, between the others' length and that, is decided by differences that
/// are small beside it, through many layers: its gradient in Float is off by 10⁻³ of itself, in any program, and it may
/// be the largest of the sample (docs/accuracy.md).
package enum MassiveActivations {
  /// How many times the lower quartile a settled massive activation is long, and one on its way, at least.
  private static let (settled, onItsWay) = (64.0, 8.0)

  /// How many of a sample's first positions are to be computed in Double: up to the last one on its way, since a
  /// position depends on those before it. 0 where none is.
  ///
  /// - Parameter lengths: the residual stream's at each of the sample's positions, layer by layer.
  package static func prefix(lengths: some Sequence<[Double]>) -> Int {
    lengths.reduce(0) { longest, layer in
      let largest = layer.max()!
      // Whether the lower quartile is so small, which sorting would tell more slowly. 64 is a power of two: nothing rounds.
      guard layer.count(where: { settled * $0 < largest }) > layer.count / 4 else { return longest }
      let quartile = layer.sorted()[layer.count / 4]
      let last = layer.lastIndex { $0 > onItsWay * quartile && $0 < largest / 2 }
      return max(longest, last.map { $0 + 1 } ?? 0)
    }
  }
}
