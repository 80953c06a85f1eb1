import SystemIO
import TensorFiles

extension Matrix {
  /// A stored matrix in host memory, in the order in which it lies: the file's own bytes where a matrix product can
  /// read them, a copy in Float otherwise. Double is rounded to nearest.
  ///
  /// The first call compares the storage's checksum, where it has one.
  ///
  /// - Parameter isFloat: whether it is to be in Float, and copied where the file has another type.
  /// - Throws: `Failure` of kind malformed where it is no matrix, or has no elements.
  public init(_ stored: StoredTensor, asFloat isFloat: Bool = false) throws {
    try stored.checkMatrix()
    let lines = stored.lines
    guard let base = try stored.bytes().baseAddress, stored.count > 0 else {
      throw Failure(.malformed, "expected a matrix, found shape \(stored.shape)")
    }
    let isOfReadableType =
      switch stored.type {
      case .f32: UInt(bitPattern: base) % UInt(MemoryLayout<Float>.alignment) == 0
      case .bf16, .f16: !isFloat
      default: false
      }
    if lines.areReadable, isOfReadableType {
      self.init(
        rows: stored.rows, columns: stored.columns, isColumnMajor: lines.areColumns, leadingDimension: lines.distance,
        type: stored.type, address: base, owner: stored.storage)
      return
    }
    let copy = AlignedBuffer(capacity: stored.count * MemoryLayout<Float>.size)
    let destination = copy.address.bindMemory(to: Float.self, capacity: stored.count)
    for line in 0..<lines.count {
      widen(
        destination + line * lines.length, base + line * lines.distance * stored.type.size, lines.length, stored.type,
        stride: lines.stride)
    }
    self.init(
      rows: stored.rows, columns: stored.columns, isColumnMajor: lines.areColumns, leadingDimension: lines.length,
      type: .f32, address: UnsafeRawPointer(destination), owner: copy)
  }
}
