import SystemIO

/// Memory for a tensor on its way into a record, reused from batch to batch.
public final class HostTensor {
  private let buffer = AlignedBuffer(capacity: 0)
  public private(set) var count = 0

  public init() {}

  /// Memory for `count` numbers, whose contents are not set.
  public func resize(_ count: Int) -> UnsafeMutablePointer<Float> {
    buffer.reserve(count * MemoryLayout<Float>.stride)
    self.count = count
    return buffer.address.assumingMemoryBound(to: Float.self)
  }

  public var mutableValues: UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: buffer.address.assumingMemoryBound(to: Float.self), count: count)
  }

  public var values: UnsafeBufferPointer<Float> { UnsafeBufferPointer(mutableValues) }
}
