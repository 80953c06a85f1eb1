/// How much of active features is gathered before it is added up, at all places together.
public final class GatheringBudget {
  private let bytes: Int
  private var places = 0

  /// - Parameter bytes: of gradients that are kept, unless decoders are so large or so many that this is little.
  public init(bytes: Int = 192 << 20) { self.bytes = bytes }

  func enter() { places += 1 }
  func leave() { places -= 1 }

  /// Whether several places gather.
  var isShared: Bool { places > 1 }

  /// Pairs of an active feature and a position, at one place.
  var pairs: Int { max(1 << 18, (1 << 20) / max(places, 1)) }

  /// Positions of a place whose decoder has `features` rows of `width` numbers. The decoder is read once for all of them,
  /// so the more the better; but their gradients are kept. These may always have a thirty-second of the decoder's memory,
  /// without which reading it would take most of the time.
  func positions(features: Int, width: Int) -> Int {
    let share = bytes / max(places, 1) / (width * MemoryLayout<Float>.stride)
    return max(1, min(1 << 14, max(share, features / 32)))
  }
}
