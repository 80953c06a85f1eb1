import SystemIO

/// A stored tensor of two dimensions as a matrix: rows and columns in either order of memory.
extension StoredTensor {
  public var rows: Int { shape[0] }
  public var columns: Int { shape[1] }

  /// The same elements, rows for columns.
  public var transposed: StoredTensor {
    precondition(shape.count == 2)
    return StoredTensor(self, shape: [shape[1], shape[0]], strides: [strides[1], strides[0]])
  }

  /// - Throws: `Failure` of kind malformed where it is no matrix of floating-point numbers of its own.
  public func checkMatrix() throws(Failure) {
    guard shape.count == 2 else { throw Failure(.malformed, "expected a matrix, found shape \(shape)") }
    guard [.f32, .bf16, .f16, .f64].contains(type) else {
      throw Failure(.malformed, "expected F32, BF16, F16 or F64, found \(type.rawValue)")
    }
    // Strides of 0 would let a small file claim a matrix that no memory holds.
    guard count <= storageCount else {
      throw Failure(
        .malformed, "shape \(shape), strides \(strides): expected elements of its own, found \(storageCount)")
    }
  }

  /// The rows of a matrix or its columns: those whose elements follow one another in memory, and its rows where
  /// neither do.
  public struct Lines {
    public let areColumns: Bool
    public let count: Int
    /// Elements of a line.
    public let length: Int
    /// Elements from one line to the next.
    public let distance: Int
    /// Elements from one element of a line to the next.
    public let stride: Int
    /// Whether a matrix product can read them: elements follow one another, and no two lines overlap.
    public let areReadable: Bool
  }

  public var lines: Lines {
    precondition(shape.count == 2)
    if strides[1] == 1 || columns <= 1, strides[0] >= columns || rows <= 1 {
      return Lines(
        areColumns: false, count: rows, length: columns, distance: max(1, strides[0], columns), stride: 1,
        areReadable: true)
    }
    if strides[0] == 1 || rows <= 1, strides[1] >= rows || columns <= 1 {
      return Lines(
        areColumns: true, count: columns, length: rows, distance: max(1, strides[1], rows), stride: 1, areReadable: true
      )
    }
    return Lines(
      areColumns: false, count: rows, length: columns, distance: strides[0], stride: strides[1], areReadable: false)
  }
}
