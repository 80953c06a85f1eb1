import CVectorMath
import Safetensors

extension CPUOperations {
  /// The checkpoint's own bytes, which processes side by side share: bf16 and f16 are widened block by block next to
  /// each product. With 1,024 rows that is 1.5 % of act-grad's time, and saves the start-up time and the memory of
  /// a widened copy.
  public func makeWeight(
    _ bytes: UnsafeRawBufferPointer, type: ElementType, rows: Int, columns: Int, owner: AnyObject
  ) -> Matrix {
    let count = rows * columns
    precondition(bytes.count == count * type.size)
    let isAligned = UInt(bitPattern: bytes.baseAddress) % UInt(MemoryLayout<Float>.alignment) == 0
    if let address = bytes.baseAddress, type != .f32 || isAligned {
      return Matrix(
        rows: rows, columns: columns, isColumnMajor: false, leadingDimension: columns, type: type, address: address,
        owner: owner)
    }
    let copy = makeTensor(rows: rows, columns: columns)
    if let address = bytes.baseAddress { widen(copy.address, address, count, type) }
    return Matrix(copy)
  }
}

/// Copies `count` elements of `type`, which must be f32, bf16 or f16, as Float.
public func widen(
  _ destination: UnsafeMutablePointer<Float>, _ source: UnsafeRawPointer, _ count: Int, _ type: ElementType
) {
  switch type {
  case .f32:
    UnsafeMutableRawPointer(destination).copyMemory(from: source, byteCount: count * 4)
  case .bf16:
    vector_widen_bfloat16(destination, source.assumingMemoryBound(to: UInt8.self), count)
  case .f16:
    vector_widen_float16(destination, source.assumingMemoryBound(to: UInt8.self), count)
  default:
    preconditionFailure("\(type) is no floating-point type of a checkpoint")
  }
}
