import CVectorMath
import SystemIO

/// y of a unit that is not complete, [width], beginning with zeros.
final class UnitTotal: @unchecked Sendable {
  let values: UnsafeMutablePointer<Double>
  private let buffer: AlignedBuffer
  private let width: Int

  init(width: Int) {
    self.width = width
    buffer = AlignedBuffer(capacity: width * MemoryLayout<Double>.stride)
    values = buffer.address.assumingMemoryBound(to: Double.self)
    clear()
  }

  func clear() { values.update(repeating: 0, count: width) }
}

/// Where the sums over complete units are, while they change.
struct Moments: @unchecked Sendable {
  let even: UnsafeMutablePointer<Double>
  let squares: UnsafeMutablePointer<Double>
  let products: UnsafeMutablePointer<Double>

  /// Adds a unit's y of some columns.
  @inline(__always)
  func add(_ y: UnsafePointer<Double>, at columns: Range<Int>, weight: Double, isEven: Bool) {
    let first = columns.lowerBound
    vector_add_unit(isEven ? even + first : nil, squares + first, products + first, y, columns.count, weight)
  }

  /// Adds a unit's y of one column.
  @inline(__always)
  func add(_ y: Double, at column: Int, weight: Double, isEven: Bool) {
    if isEven { even[column] += y }
    squares[column] += y * y
    products[column] += y * weight
  }
}
