/// The merges of a BPE model: which two adjacent symbols become one, and which of two possible merges goes first.
struct MergeTable {
  struct Merge {
    /// The line of the merge in its file, counted from 0: the lowest one goes first.
    let rank: UInt32
    let result: Int32
  }

  /// Open addressing; a power of two of slots, `Self.free` where there is no pair.
  private var pairs: [UInt64]
  private var merges: [Merge]
  private var count = 0

  /// Two symbols of -1 each, which no vocabulary has.
  private static let free = UInt64.max

  init(minimumCapacity: Int) {
    var slots = 16
    while slots / 4 * 3 < minimumCapacity { slots *= 2 }
    pairs = Array(repeating: Self.free, count: slots)
    merges = Array(repeating: Merge(rank: 0, result: 0), count: slots)
  }

  subscript(_ left: Int32, _ right: Int32) -> Merge? {
    let slot = slot(of: Self.pair(left, right))
    return pairs[slot] == Self.free ? nil : merges[slot]
  }

  /// Adds a merge; of two for the same pair the later one counts, as in Hugging Face tokenizers.
  mutating func insert(_ left: Int32, _ right: Int32, _ merge: Merge) {
    if count + 1 > pairs.count / 4 * 3 { grow() }
    let pair = Self.pair(left, right)
    let slot = slot(of: pair)
    if pairs[slot] == Self.free {
      pairs[slot] = pair
      count += 1
    }
    merges[slot] = merge
  }

  /// Calls `body` with the two symbols of each merge.
  func forEach(_ body: (_ left: Int32, _ right: Int32) -> Void) {
    for pair in pairs where pair != Self.free {
      body(Int32(truncatingIfNeeded: pair >> 32), Int32(truncatingIfNeeded: pair))
    }
  }

  private static func pair(_ left: Int32, _ right: Int32) -> UInt64 {
    UInt64(UInt32(bitPattern: left)) << 32 | UInt64(UInt32(bitPattern: right))
  }

  private func slot(of pair: UInt64) -> Int {
    let mask = pairs.count - 1
    let product = pair.multipliedFullWidth(by: 0x9e37_79b9_7f4a_7c15)
    var slot = Int(truncatingIfNeeded: product.high ^ product.low) & mask
    while pairs[slot] != pair, pairs[slot] != Self.free { slot = (slot + 1) & mask }
    return slot
  }

  private mutating func grow() {
    var larger = MergeTable(minimumCapacity: pairs.count)
    for (pair, merge) in zip(pairs, merges) where pair != Self.free {
      larger.insert(Int32(truncatingIfNeeded: pair >> 32), Int32(truncatingIfNeeded: pair), merge)
    }
    self = larger
  }
}
