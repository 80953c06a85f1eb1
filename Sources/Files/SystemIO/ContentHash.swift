import CXXHash

/// XXH64 of bytes that arrive in pieces: the hash zstd uses, and the one that `xxhsum FILE` prints.
/// It tells files apart and notices damage; it does not resist an adversary.
public struct ContentHash {
  private var state = XXH64_state_t()

  public init() {
    XXH64_reset(&state, 0)
  }

  public mutating func update(_ bytes: UnsafeRawBufferPointer) {
    XXH64_update(&state, bytes.baseAddress, bytes.count)
  }

  /// Of what has come so far.
  package var value: UInt64 {
    var state = state
    return XXH64_digest(&state)
  }

  /// 16 hexadecimal digits of what has come so far.
  public var hexadecimal: String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.utf8.count) + digits
  }

  public static func of(_ bytes: UnsafeRawBufferPointer) -> String {
    var hash = ContentHash()
    hash.update(bytes)
    return hash.hexadecimal
  }
}
