import CVectorMath
import TensorFiles

/// Copies `count` elements of `type`, which must be f32, bf16, f16 or f64, as Float; Double is rounded to nearest.
///
/// - Parameter stride: elements from one to the next in `source`, which need not be aligned.
public func widen(
  _ destination: UnsafeMutablePointer<Float>, _ source: UnsafeRawPointer, _ count: Int, _ type: ElementType,
  stride: Int = 1
) {
  guard stride == 1 || type == .f64 else {
    for i in 0..<count { widen(destination + i, source + i * stride * type.size, 1, type) }
    return
  }
  switch type {
  case .f32:
    UnsafeMutableRawPointer(destination).copyMemory(from: source, byteCount: count * 4)
  case .bf16:
    vector_widen_bfloat16(destination, source.assumingMemoryBound(to: UInt8.self), count)
  case .f16:
    vector_widen_float16(destination, source.assumingMemoryBound(to: UInt8.self), count)
  case .f64:
    for i in 0..<count {
      destination[i] = Float(source.loadUnaligned(fromByteOffset: i * stride * 8, as: Double.self))
    }
  default:
    preconditionFailure("\(type) is no floating-point type of a checkpoint")
  }
}
