import Glibc
import Synchronization

/// Memory on a cache-line boundary that grows when asked and is reused otherwise. Where the system has none, the
/// program ends and says how much was needed.
public final class AlignedBuffer {
  public static let alignment = 64

  public private(set) var address: UnsafeMutableRawPointer
  public private(set) var capacity: Int

  /// - Parameter capacity: bytes; the contents are not set.
  public init(capacity: Int) {
    self.capacity = max(capacity, Self.alignment)
    address = Self.allocate(self.capacity)
  }

  deinit { Self.free(address, capacity) }

  /// Grows to at least `bytes`, keeping the first `preserved` bytes.
  public func reserve(_ bytes: Int, preserving preserved: Int = 0) {
    guard bytes > capacity else { return }
    precondition(preserved <= capacity)
    let larger = Self.allocate(bytes)
    larger.copyMemory(from: address, byteCount: preserved)
    Self.free(address, capacity)
    address = larger
    capacity = bytes
  }

  private static let hugePage = 2 << 20
  /// In all buffers that are at least two of them.
  private static let largeBytes = Atomic(0)

  private static func free(_ address: UnsafeMutableRawPointer, _ bytes: Int) {
    if bytes >= 2 * hugePage { largeBytes.wrappingSubtract(bytes, ordering: .relaxed) }
    Glibc.free(address)
  }

  /// Large buffers ask for huge pages: the kernel then clears and maps 2 MB at a time, which gigabytes of weights
  /// would otherwise do half a million times.
  private static func allocate(_ bytes: Int) -> UnsafeMutableRawPointer {
    let isLarge = bytes >= 2 * hugePage
    if isLarge {
      let total = largeBytes.wrappingAdd(bytes, ordering: .relaxed).newValue
      if let limit = MemoryLimit.smallest, total > limit.bytes { stop(.outOfMemory(bytes, limit)) }
    }
    var address: UnsafeMutableRawPointer?
    guard posix_memalign(&address, isLarge ? hugePage : alignment, bytes) == 0, let address else {
      stop(.outOfMemory(bytes))
    }
    if isLarge { madvise(address, bytes / hugePage * hugePage, MADV_HUGEPAGE) }
    return address
  }
}
