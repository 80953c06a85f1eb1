import Safetensors
import StoredTensors
import SystemIO
import TensorOperations

/// A matrix as it lies in a file: in either order, in the file's own type, nothing copied.
public struct MatrixView: Sendable {
  public let rows: Int
  public let columns: Int
  /// Elements from one row to the next, and from one column to the next.
  public let rowStride: Int
  public let columnStride: Int
  public let type: ElementType
  private let tensor: StoredTensor

  /// - Parameters:
  ///   - tensor: of two dimensions and a floating-point type.
  ///   - transposed: whether the tensor's rows are to be the matrix's columns.
  /// - Throws: `Failure` that says what else the tensor is.
  init(_ tensor: StoredTensor, transposed: Bool) throws(Failure) {
    guard tensor.shape.count == 2 else {
      throw Failure(.malformed, "expected a matrix, found shape \(tensor.shape)")
    }
    guard [.f32, .bf16, .f16, .f64].contains(tensor.type) else {
      throw Failure(.malformed, "expected F32, BF16, F16 or F64, found \(tensor.type.rawValue)")
    }
    // Strides of 0 would let a small file claim a matrix that no memory holds.
    guard tensor.count <= tensor.storageCount else {
      throw Failure(
        .malformed,
        "shape \(tensor.shape), strides \(tensor.strides): expected elements of its own, found \(tensor.storageCount)")
    }
    self.tensor = tensor
    let (row, column) = transposed ? (1, 0) : (0, 1)
    rows = tensor.shape[row]
    columns = tensor.shape[column]
    rowStride = tensor.strides[row]
    columnStride = tensor.strides[column]
    type = tensor.type
  }

  /// The order in which a matrix product can read it, and elements from one line to the next; nil where neither
  /// its rows nor its columns are contiguous.
  public var lines: (order: StorageOrder, leadingDimension: Int)? {
    if columnStride == 1 || columns <= 1, rowStride >= columns || rows <= 1 {
      return (.rowMajor, max(1, rowStride, columns))
    }
    if rowStride == 1 || rows <= 1, columnStride >= rows || columns <= 1 {
      return (.columnMajor, max(1, columnStride, rows))
    }
    return nil
  }

  /// From its first element to the end of its storage, valid as long as `owner`. The first call compares the
  /// storage's checksum, where it has one.
  public func bytes() throws -> UnsafeRawBufferPointer { try tensor.bytes() }

  /// What must live as long as `bytes()` are used.
  public var owner: AnyObject { tensor.storage }

  /// The matrix as Float, in the order in which it lies: the file's own bytes where they are aligned floats, a copy
  /// otherwise. Double is rounded to nearest.
  public func floats() throws -> FloatMatrix {
    let bytes = try bytes()
    guard rows > 0, columns > 0, let base = bytes.baseAddress else {
      throw Failure(.malformed, "expected a matrix, found shape \(tensor.shape)")
    }
    let lines = lines
    if let lines, type == .f32, UInt(bitPattern: base) % UInt(MemoryLayout<Float>.alignment) == 0 {
      return FloatMatrix(
        address: base.assumingMemoryBound(to: Float.self), rows: rows, columns: columns, order: lines.order,
        leadingDimension: lines.leadingDimension, owner: owner, isCopy: false)
    }
    let order = lines?.order ?? .rowMajor
    let (lineCount, lineLength) = order == .rowMajor ? (rows, columns) : (columns, rows)
    let (lineStride, stride) = order == .rowMajor ? (rowStride, columnStride) : (columnStride, rowStride)
    let buffer = AlignedBuffer(capacity: rows * columns * MemoryLayout<Float>.size)
    let destination = buffer.address.bindMemory(to: Float.self, capacity: rows * columns)
    for line in 0..<lineCount {
      copy(
        destination + line * lineLength, base + line * lineStride * type.size, count: lineLength, stride: stride)
    }
    return FloatMatrix(
      address: destination, rows: rows, columns: columns, order: order, leadingDimension: lineLength, owner: buffer,
      isCopy: true)
  }

  /// The first element that is NaN or infinite as a Float, in the order in which they lie.
  func firstNonfinite() throws -> (row: Int, column: Int, value: Float)? {
    guard let base = try bytes().baseAddress, rows > 0, columns > 0 else { return nil }
    let isRowMajor = lines?.order != .columnMajor
    let (lineCount, lineLength) = isRowMajor ? (rows, columns) : (columns, rows)
    let (lineStride, stride) = isRowMajor ? (rowStride, columnStride) : (columnStride, rowStride)
    let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: lineLength)
    defer { values.deallocate() }
    for line in 0..<lineCount {
      copy(values.baseAddress!, base + line * lineStride * type.size, count: lineLength, stride: stride)
      guard let place = Safetensors.firstNonfinite(UnsafeBufferPointer(values)) else { continue }
      return isRowMajor ? (line, place, values[place]) : (place, line, values[place])
    }
    return nil
  }

  /// Copies elements of this matrix that lie `stride` apart, as Float.
  func copy(_ destination: UnsafeMutablePointer<Float>, _ source: UnsafeRawPointer, count: Int, stride: Int) {
    if type == .f64 {
      for i in 0..<count {
        destination[i] = Float(source.loadUnaligned(fromByteOffset: i * stride * 8, as: Double.self))
      }
    } else if stride == 1 {
      widen(destination, source, count, type)
    } else {
      for i in 0..<count { widen(destination + i, source + i * stride * type.size, 1, type) }
    }
  }
}

/// Which of a matrix's lines are contiguous.
public enum StorageOrder: Sendable {
  case rowMajor
  case columnMajor
}

/// A matrix of floats for a matrix product, valid as long as `owner`.
public struct FloatMatrix {
  public let address: UnsafePointer<Float>
  public let rows: Int
  public let columns: Int
  public let order: StorageOrder
  /// Elements from one row to the next (row-major) or from one column to the next (column-major).
  public let leadingDimension: Int
  public let owner: AnyObject
  /// Whether this is memory of its own and not the file's pages.
  public let isCopy: Bool
}

extension Matrix {
  public init(_ floats: FloatMatrix) {
    self.init(
      rows: floats.rows, columns: floats.columns, isColumnMajor: floats.order == .columnMajor,
      leadingDimension: floats.leadingDimension, type: .f32, address: UnsafeRawPointer(floats.address),
      owner: floats.owner)
  }
}
