import SystemIO

/// A range of a mapped file.
final class MappedStorage: TensorStorage {
  private let map: MappedFile
  private let range: Range<Int>

  init(_ map: MappedFile, _ range: Range<Int>) {
    self.map = map
    self.range = range
  }

  func bytes() -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: map.bytes[range]) }
}

/// Memory of its own, for elements that lie otherwise in their file than they are needed. Whoever makes it fills it,
/// before anybody else sees it.
public final class CopiedStorage: TensorStorage, @unchecked Sendable {
  private let buffer: AlignedBuffer
  private let byteCount: Int

  public init(byteCount: Int) {
    buffer = AlignedBuffer(capacity: byteCount)
    self.byteCount = byteCount
  }

  public var address: UnsafeMutableRawPointer { buffer.address }

  public func bytes() -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: buffer.address, count: byteCount) }
}
