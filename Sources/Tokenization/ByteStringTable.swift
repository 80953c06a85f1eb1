/// A set of byte strings, numbered from 0 in the order they came: open addressing over one block of bytes.
///
/// Swift's `Dictionary` would need an array for each key, and a `String` key would be equal to every canonically
/// equivalent one: "é" and "e" + U+0301 are different tokens.
struct ByteStringTable {
  /// All strings, end to end; string i ends where string i + 1 begins.
  private var bytes: [UInt8] = []
  private var starts: [Int] = [0]
  /// The numbers of the strings, at the places that their hashes choose; -1 where free. A power of two of them.
  private var slots: [Int32]

  var count: Int { starts.count - 1 }

  init(minimumCapacity: Int = 0) {
    slots = Array(repeating: -1, count: Self.slotCount(for: minimumCapacity))
    starts.reserveCapacity(minimumCapacity + 1)
    bytes.reserveCapacity(minimumCapacity * 8)
  }

  func find(_ string: UnsafeRawBufferPointer) -> Int? {
    let number = slots[slot(of: string)]
    return number < 0 ? nil : Int(number)
  }

  func find(_ string: [UInt8]) -> Int? { string.withUnsafeBytes { find($0) } }

  /// The number of `string`, and whether it is new.
  mutating func insert(_ string: UnsafeRawBufferPointer) -> (number: Int, isNew: Bool) {
    if 2 * (count + 1) > slots.count { grow() }
    let slot = slot(of: string)
    if slots[slot] >= 0 { return (Int(slots[slot]), false) }
    slots[slot] = Int32(count)
    bytes.append(contentsOf: string)
    starts.append(bytes.count)
    return (count - 1, true)
  }

  mutating func insert(_ string: [UInt8]) -> (number: Int, isNew: Bool) { string.withUnsafeBytes { insert($0) } }

  mutating func removeAll() {
    bytes.removeAll(keepingCapacity: true)
    starts.removeLast(count)
    for slot in slots.indices { slots[slot] = -1 }
  }

  /// Where `string` is, or where it would go.
  private func slot(of string: UnsafeRawBufferPointer) -> Int {
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: Self.hash(string)) & mask
    while slots[slot] >= 0, !isEqual(Int(slots[slot]), string) { slot = (slot + 1) & mask }
    return slot
  }

  private func isEqual(_ number: Int, _ string: UnsafeRawBufferPointer) -> Bool {
    let start = starts[number]
    guard starts[number + 1] - start == string.count else { return false }
    return bytes.withUnsafeBytes { $0[start..<start + string.count].elementsEqual(string) }
  }

  private mutating func grow() {
    slots = Array(repeating: -1, count: slots.count * 2)
    for number in 0..<count {
      let free = bytes.withUnsafeBytes { slot(of: .init(rebasing: $0[starts[number]..<starts[number + 1]])) }
      slots[free] = Int32(number)
    }
  }

  private static func slotCount(for count: Int) -> Int {
    var slots = 16
    while slots < 2 * count { slots *= 2 }
    return slots
  }

  /// Eight bytes at a time, each folded in by the two halves of a 128-bit product.
  private static func hash(_ string: UnsafeRawBufferPointer) -> UInt64 {
    var hash = UInt64(string.count) ^ 0x9e37_79b9_7f4a_7c15
    var rest = string
    while rest.count >= 8 {
      hash = mix(hash ^ rest.loadUnaligned(as: UInt64.self))
      rest = .init(rebasing: rest[8...])
    }
    var tail: UInt64 = 0
    for byte in rest { tail = tail << 8 | UInt64(byte) }
    return mix(hash ^ tail)
  }

  private static func mix(_ value: UInt64) -> UInt64 {
    let product = value.multipliedFullWidth(by: 0xa076_1d64_78bd_642f)
    return product.high ^ product.low
  }
}
