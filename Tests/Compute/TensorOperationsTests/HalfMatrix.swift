import TensorFiles
import TensorOperations
import TestSupport

/// A matrix in bf16 or f16 as a file may hold it: at an odd address.
final class HalfMatrix {
  let rows: Int
  let columns: Int
  let type: ElementType
  /// What its elements mean, by rows.
  let values: [Double]
  private let memory: UnsafeMutableRawPointer

  init(rows: Int, columns: Int, type: ElementType, _ numbers: inout SeededNumbers) {
    (self.rows, self.columns, self.type) = (rows, columns, type)
    let count = rows * columns
    memory = .allocate(byteCount: 2 * count + 1, alignment: 16)
    for (index, value) in numbers.floats(count).enumerated() {
      // Cut off, not rounded: any 16 bits do. From 2⁻⁷ to 1 the exponents of f16 are those of Float, less 112.
      let kept = type == .bf16 || (0x1p-7..<1).contains(value.magnitude) ? value : 0.5
      let bits = kept.bitPattern
      let half = type == .bf16 ? bits >> 16 : (bits >> 16 & 0x8000) | ((bits & 0x7fff_ffff) - 112 << 23) >> 13
      memory.storeBytes(of: UInt16(truncatingIfNeeded: half), toByteOffset: 2 * index + 1, as: UInt16.self)
    }
    var widened = [Float](repeating: 0, count: count)
    widen(&widened, memory + 1, count, type)
    values = widened.map(Double.init)
  }

  deinit { memory.deallocate() }

  var matrix: Matrix {
    Matrix(
      rows: rows, columns: columns, isColumnMajor: false, leadingDimension: columns, type: type, address: memory + 1,
      owner: self)
  }
}
