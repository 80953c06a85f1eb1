import Glibc

/// Memory on a cache-line boundary that grows when asked and is reused otherwise.
public final class AlignedBuffer {
  public static let alignment = 64

  public private(set) var address: UnsafeMutableRawPointer
  public private(set) var capacity: Int

  /// - Parameter capacity: bytes; the contents are not set.
  public init(capacity: Int) {
    self.capacity = max(capacity, Self.alignment)
    address = .allocate(byteCount: self.capacity, alignment: Self.alignment)
  }

  deinit { address.deallocate() }

  /// Grows to at least `bytes`, keeping the first `preserved` bytes.
  public func reserve(_ bytes: Int, preserving preserved: Int = 0) {
    guard bytes > capacity else { return }
    precondition(preserved <= capacity)
    let larger = UnsafeMutableRawPointer.allocate(byteCount: bytes, alignment: Self.alignment)
    larger.copyMemory(from: address, byteCount: preserved)
    address.deallocate()
    address = larger
    capacity = bytes
  }
}
