/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
package struct SplitMix64: RandomNumberGenerator {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var value = state
    value = (value ^ value >> 30) &* 0xbf58_476d_1ce4_e5b9
    value = (value ^ value >> 27) &* 0x94d0_49bb_1331_11eb
    return value ^ value >> 31
  }
}

/// The first `count` of the numbers 0..<total, shuffled: the same on every machine, and a prefix of every longer one.
///
/// Fisher and Yates, from the front: for i = 0, 1, … the number at place i changes places with the one at place
/// i + r mod (total − i), where r is the next 64 bits of SplitMix64 that are below the largest multiple of total − i.
/// (Spelled out here because the standard library promises no particular way from bits to a shuffle.)
package func shuffledPrefix(_ count: Int, of total: Int, seed: UInt64) -> [Int] {
  var generator = SplitMix64(seed: seed)
  var numbers = Array(0..<total)
  for place in 0..<min(count, total) {
    let range = UInt64(total - place)
    // 2^64 mod range values at the top would favour small remainders.
    let excess = (UInt64.max % range + 1) % range
    var bits = generator.next()
    while bits > UInt64.max - excess { bits = generator.next() }
    numbers.swapAt(place, place + Int(bits % range))
  }
  return Array(numbers.prefix(count))
}
