import CVectorMath
import Safetensors

extension CPUOperations {
  public func makeWeight(
    _ bytes: UnsafeRawBufferPointer, type: ElementType, rows: Int, columns: Int, owner: AnyObject
  ) -> Tensor {
    let count = rows * columns
    precondition(bytes.count == count * type.size)
    let isAligned = UInt(bitPattern: bytes.baseAddress) % UInt(MemoryLayout<Float>.alignment) == 0
    if type == .f32, isAligned, let address = bytes.baseAddress {
      // The map itself serves as the tensor: nothing is copied, and processes share its pages.
      let mapped = UnsafeMutablePointer(mutating: address.assumingMemoryBound(to: Float.self))
      return Tensor(rows: rows, columns: columns, address: mapped, owner: owner)
    }
    let tensor = makeTensor(rows: rows, columns: columns)
    split(count, multiple: 4096) { range in
      widen(tensor.address + range.lowerBound, bytes.baseAddress! + range.lowerBound * type.size, range.count, type)
    }
    return tensor
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
    for i in 0..<count {
      destination[i] = widened(half: source.loadUnaligned(fromByteOffset: 2 * i, as: UInt16.self))
    }
  default:
    preconditionFailure("\(type) is no floating-point type of a checkpoint")
  }
}

/// IEEE binary16 as Float, exactly. (Swift's Float16 does not exist on every platform this runs on.)
func widened(half bits: UInt16) -> Float {
  let sign = UInt32(bits & 0x8000) << 16
  let rest = UInt32(bits & 0x7fff) << 13
  let exponent = rest & 0x0f80_0000
  if exponent == 0x0f80_0000 { return Float(bitPattern: sign | 0x7f80_0000 | (rest & 0x007f_ffff)) }
  // The exponent's bias moves from 15 to 127; multiplying makes subnormal numbers normal.
  let magnitude = Float(bitPattern: rest) * Float(sign: .plus, exponent: 112, significand: 1)
  return Float(bitPattern: sign | magnitude.bitPattern)
}
