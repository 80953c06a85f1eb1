import CVectorMath
import SystemIO

/// y of a unit that is not complete, [width], beginning with zeros.
///
/// Those of features that are seldom active remember which are not 0, so that it costs no more to add them up.
final class UnitTotal: @unchecked Sendable {
  let values: UnsafeMutablePointer<Double>
  private let buffer: AlignedBuffer
  private let width: Int
  /// All that are not 0; nil where they are not followed. One can be in it twice.
  private var touched: [Int32]? = []

  init(width: Int) {
    self.width = width
    buffer = AlignedBuffer(capacity: width * MemoryLayout<Double>.stride)
    values = buffer.address.assumingMemoryBound(to: Double.self)
    values.initialize(repeating: 0, count: width)
  }

  /// Values are about to be changed by their pointer.
  func useDensely() { touched = nil }

  @inline(__always)
  func add(_ value: Double, at index: Int) {
    if values[index] == 0 { touched?.append(Int32(index)) }
    values[index] += value
  }

  /// Adds the complete unit to `moments`, and begins anew with zeros.
  func take(into moments: Moments, weight: Double, isEven: Bool) {
    guard touched != nil else {
      moments.add(values, at: 0..<width, weight: weight, isEven: isEven)
      return clear()
    }
    moments.take(values, at: touched!, weight: weight, isEven: isEven)
    touched!.removeAll(keepingCapacity: true)
  }

  func clear() {
    values.update(repeating: 0, count: width)
    touched = []
  }
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

  /// Adds a unit's y of the columns `touched`, and sets it to 0 there.
  func take(_ y: UnsafeMutablePointer<Double>, at touched: [Int32], weight: Double, isEven: Bool) {
    vector_take_unit(isEven ? even : nil, squares, products, y, touched, touched.count, weight)
  }
}
