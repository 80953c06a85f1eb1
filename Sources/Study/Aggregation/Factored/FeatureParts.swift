/// What threads multiply of the pairs of active features and positions, some features at a time.
struct FeatureParts {
  struct Part {
    /// Places among those that are in any pair.
    let features: ArraySlice<Int>
    /// All of these features' pairs come at so many positions before others do.
    let positionsAtATime: Int
  }

  let all: [Part]

  /// Where a feature is active at one of so many positions, the gradients of as many positions as stay in a core's cache
  /// serve so many features.
  private static let (often, positionsAtATime, oftenAtATime) = (16, 128, 32)
  /// The parts that the others are cut into.
  private static let parts = 32

  init(_ pairs: PairsByFeature, positions: Int) {
    let (often, seldom) = pairs.features.indices.reduce(into: ([Int](), [Int]())) {
      if pairs.range($1).count * Self.often >= positions { $0.0.append($1) } else { $0.1.append($1) }
    }
    let parts = min(Self.parts, seldom.count)
    all =
      stride(from: 0, to: often.count, by: Self.oftenAtATime).map {
        Part(features: often[$0...].prefix(Self.oftenAtATime), positionsAtATime: Self.positionsAtATime)
      }
      + (0..<parts).map {
        Part(features: seldom[seldom.count * $0 / parts..<seldom.count * ($0 + 1) / parts], positionsAtATime: positions)
      }
  }
}
