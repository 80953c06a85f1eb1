import TensorFiles
import TensorOperations
import TestSupport

/// A matrix in bf16, f16 or f32 as a file may hold it: where it has two bytes an element, at an odd address.
final class StoredWeights {
  let rows: Int
  let columns: Int
  let type: ElementType
  /// What its elements mean, by rows.
  let values: [Double]
  private let memory: UnsafeMutableRawPointer
  private let address: UnsafeMutableRawPointer

  init(rows: Int, columns: Int, type: ElementType, scale: Float = 1, _ numbers: inout SeededNumbers) {
    (self.rows, self.columns, self.type) = (rows, columns, type)
    let count = rows * columns
    memory = .allocate(byteCount: type.size * count + 1, alignment: 16)
    address = memory + (type == .f32 ? 0 : 1)
    let floats = numbers.floats(count, scale: scale)
    guard type != .f32 else {
      address.copyMemory(from: floats, byteCount: 4 * count)
      values = floats.map(Double.init)
      return
    }
    for (index, value) in floats.enumerated() {
      // Cut off, not rounded: any 16 bits do. From 2⁻⁷ to 1 the exponents of f16 are those of Float, less 112.
      let kept = type == .bf16 || (0x1p-7..<1).contains(value.magnitude) ? value : 0.5
      let bits = kept.bitPattern
      let half = type == .bf16 ? bits >> 16 : (bits >> 16 & 0x8000) | ((bits & 0x7fff_ffff) - 112 << 23) >> 13
      address.storeBytes(of: UInt16(truncatingIfNeeded: half), toByteOffset: 2 * index, as: UInt16.self)
    }
    var widened = [Float](repeating: 0, count: count)
    widen(&widened, address, count, type)
    values = widened.map(Double.init)
  }

  deinit { memory.deallocate() }

  var matrix: Matrix {
    Matrix(
      rows: rows, columns: columns, isColumnMajor: false, leadingDimension: columns, type: type, address: address,
      owner: self)
  }
}
