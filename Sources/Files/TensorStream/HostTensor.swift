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

  /// Puts `values` behind the first `kept` numbers, which stay.
  public func append(_ values: UnsafeBufferPointer<Float>, after kept: Int) {
    precondition(kept == 0 || kept <= count)
    let stride = MemoryLayout<Float>.stride
    count = kept + values.count
    // Doubled, so that many small parts are not moved for each of them.
    if count * stride > buffer.capacity { buffer.reserve(max(2 * kept, count) * stride, preserving: kept * stride) }
    guard let source = values.baseAddress else { return }
    (mutableValues.baseAddress! + kept).update(from: source, count: values.count)
  }

  public var mutableValues: UnsafeMutableBufferPointer<Float> {
    UnsafeMutableBufferPointer(start: buffer.address.assumingMemoryBound(to: Float.self), count: count)
  }

  public var values: UnsafeBufferPointer<Float> { UnsafeBufferPointer(mutableValues) }
}
