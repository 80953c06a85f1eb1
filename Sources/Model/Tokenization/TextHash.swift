import SystemIO

/// What tells one text from another: XXH64 of its bytes, in hexadecimal.
public struct TextHash: Equatable, Sendable {
  /// Of all of it; nil where a part of it can be read only once, such as a pipe.
  public var whole: String?
  /// Of its first 64 KiB, or of all where it is shorter.
  public var start: String
}

/// Hashes the parts of a text one after another.
struct TextHasher {
  private var whole = ContentHash()
  private var start = ContentHash()
  /// How much of the start of the text is still to come.
  private(set) var startRoom = TextLines.startLength

  mutating func add(_ bytes: UnsafeRawBufferPointer) {
    whole.update(bytes)
    let part = UnsafeRawBufferPointer(rebasing: bytes.prefix(startRoom))
    start.update(part)
    startRoom -= part.count
  }

  /// - Parameter isWhole: whether all of the text was added.
  func hash(isWhole: Bool) -> TextHash {
    TextHash(whole: isWhole ? whole.hexadecimal : nil, start: start.hexadecimal)
  }
}
