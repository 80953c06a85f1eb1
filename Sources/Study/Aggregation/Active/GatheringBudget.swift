/// How much of active features is gathered before it is added up, at all places together.
public final class GatheringBudget {
  private let gradientBytes: Int
  private let totalPairs: Int
  /// Of the decoder's rows that are multiplied at a time: what stays in the cache that cores share.
  let rowBytes: Int
  private var places = 0

  /// - Parameters:
  ///   - gradientBytes: of gradients that are kept, unless decoders are so large or so many that this is little.
  ///   - pairs: of an active feature and a position, unless there are many places.
  public init(gradientBytes: Int = 192 << 20, pairs: Int = 1 << 20, rowBytes: Int = 12 << 20) {
    (self.gradientBytes, totalPairs, self.rowBytes) = (gradientBytes, pairs, rowBytes)
  }

  func enter() { places += 1 }
  func leave() { places -= 1 }

  /// Whether several places gather.
  var isShared: Bool { places > 1 }

  /// Pairs of one place.
  var pairs: Int { max(totalPairs / 4, totalPairs / max(places, 1)) }

  /// Positions of a place whose decoder has `features` rows of `width` numbers. The decoder is read once for all of them,
  /// so the more the better; but their gradients are kept. These may always have a thirty-second of the decoder's memory,
  /// without which reading it would take most of the time.
  func positions(features: Int, width: Int) -> Int {
    let share = gradientBytes / max(places, 1) / (width * MemoryLayout<Float>.stride)
    return max(1, min(1 << 14, max(share, features / 32)))
  }
}
