import Glibc

/// A set of byte strings, numbered from 0 in the order they came: open addressing over one block of bytes.
///
/// Swift's `Dictionary` would need an array for each key, and a `String` key would be equal to every canonically
/// equivalent one: "é" and "e" + U+0301 are different tokens.
struct ByteStringTable {
  /// All strings, end to end; string i ends where string i + 1 begins.
  private var bytes: [UInt8] = []
  private var starts: [UInt32] = [0]
  /// The strings' places by their hashes; a power of two of them.
  private var slots: [Slot]

  private struct Slot {
    /// -1 where there is none.
    var number: Int32 = -1
    /// The hash's upper half, which tells most strings apart without a look at them.
    var tag: UInt32 = 0
  }

  var count: Int { starts.count - 1 }

  init(minimumCapacity: Int = 0) {
    slots = Array(repeating: Slot(), count: Self.slotCount(for: minimumCapacity))
    starts.reserveCapacity(minimumCapacity + 1)
    bytes.reserveCapacity(minimumCapacity * 8)
  }

  func find(_ string: UnsafeRawBufferPointer) -> Int? {
    let number = slots[place(of: string, hash: Self.hash(string))].number
    return number < 0 ? nil : Int(number)
  }

  func find(_ string: [UInt8]) -> Int? { string.withUnsafeBytes { find($0) } }

  subscript(number: Int) -> [UInt8] { Array(bytes[range(of: number)]) }

  /// Adds `string`, whose number is `count` before it; does nothing where it is in the set.
  mutating func insert(_ string: UnsafeRawBufferPointer) {
    if count + 1 > slots.count / 4 * 3 { grow() }
    let hash = Self.hash(string)
    let place = place(of: string, hash: hash)
    guard slots[place].number < 0 else { return }
    slots[place] = Slot(number: Int32(count), tag: Self.tag(hash))
    bytes.append(contentsOf: string)
    starts.append(UInt32(bytes.count))
  }

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    starts.removeLast(count)
    for place in slots.indices { slots[place] = Slot() }
  }

  /// Where `string` is, or where it would go.
  private func place(of string: UnsafeRawBufferPointer, hash: UInt64) -> Int {
    let mask = slots.count - 1
    let tag = Self.tag(hash)
    var place = Int(truncatingIfNeeded: hash) & mask
    while slots[place].number >= 0, slots[place].tag != tag || !isEqual(Int(slots[place].number), string) {
      place = (place + 1) & mask
    }
    return place
  }

  private func isEqual(_ number: Int, _ string: UnsafeRawBufferPointer) -> Bool {
    let range = range(of: number)
    guard range.count == string.count else { return false }
    guard let address = string.baseAddress, string.count > 0 else { return true }
    return bytes.withUnsafeBytes { memcmp($0.baseAddress! + range.lowerBound, address, string.count) == 0 }
  }

  /// Where in `bytes` a string is.
  private func range(of number: Int) -> Range<Int> { Int(starts[number])..<Int(starts[number + 1]) }

  private mutating func grow() {
    let old = self
    slots = Array(repeating: Slot(), count: slots.count * 2)
    for number in 0..<count {
      old.bytes.withUnsafeBytes { bytes in
        let string = UnsafeRawBufferPointer(rebasing: bytes[range(of: number)])
        let hash = Self.hash(string)
        slots[place(of: string, hash: hash)] = Slot(number: Int32(number), tag: Self.tag(hash))
      }
    }
  }

  private static func tag(_ hash: UInt64) -> UInt32 { UInt32(truncatingIfNeeded: hash >> 32) }

  private static func slotCount(for count: Int) -> Int {
    var slots = 16
    while slots / 4 * 3 < count { slots *= 2 }
    return slots
  }

  /// Eight bytes at a time, each folded in by the two halves of a 128-bit product.
  private static func hash(_ string: UnsafeRawBufferPointer) -> UInt64 {
    var hash = UInt64(string.count) ^ 0x9e37_79b9_7f4a_7c15
    var offset = 0
    while offset + 8 <= string.count {
      hash = mix(hash ^ string.loadUnaligned(fromByteOffset: offset, as: UInt64.self))
      offset += 8
    }
    var tail: UInt64 = 0
    while offset < string.count {
      tail = tail << 8 | UInt64(string[offset])
      offset += 1
    }
    return mix(hash ^ tail)
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    let product = value.multipliedFullWidth(by: 0xa076_1d64_78bd_642f)
    return product.high ^ product.low
  }
}
