import CVectorMath
import TensorFiles

/// A matrix that may lie by rows or by columns and in another type than Float, as files of different libraries have it.
///
/// The model's weights and an autoencoder's encoder and decoder are such. It refers to memory of the host or of a device
/// that `owner` keeps alive, which may be a memory-mapped file.
public struct Matrix {
  public let rows: Int
  public let columns: Int
  /// Whether the elements of a column follow one another, instead of those of a row.
  public let isColumnMajor: Bool
  /// Elements from one row to the next, or from one column to the next.
  public let leadingDimension: Int
  /// f32, bf16 or f16.
  public let type: ElementType
  /// Where the first element lies. Aligned to Float where the type is f32, to nothing otherwise.
  public let address: UnsafeRawPointer
  package let owner: AnyObject

  public init(
    rows: Int, columns: Int, isColumnMajor: Bool, leadingDimension: Int, type: ElementType, address: UnsafeRawPointer,
    owner: AnyObject
  ) {
    precondition(leadingDimension >= (isColumnMajor ? rows : columns))
    precondition([.f32, .bf16, .f16].contains(type))
    precondition(type != .f32 || UInt(bitPattern: address) % UInt(MemoryLayout<Float>.alignment) == 0)
    self.rows = rows
    self.columns = columns
    self.isColumnMajor = isColumnMajor
    self.leadingDimension = leadingDimension
    self.type = type
    self.address = address
    self.owner = owner
  }

  public init(_ tensor: Tensor) {
    self.init(
      rows: tensor.rows, columns: tensor.columns, isColumnMajor: false, leadingDimension: tensor.columns, type: .f32,
      address: UnsafeRawPointer(tensor.address), owner: tensor.owner)
  }

  /// The same memory, read the other way.
  public var transposed: Matrix {
    Matrix(
      rows: columns, columns: rows, isColumnMajor: !isColumnMajor, leadingDimension: leadingDimension, type: type,
      address: address, owner: owner)
  }

  /// Those rows of it.
  public func selecting(rows selected: Range<Int>) -> Matrix {
    precondition(selected.lowerBound >= 0 && selected.upperBound <= rows)
    return Matrix(
      rows: selected.count, columns: columns, isColumnMajor: isColumnMajor, leadingDimension: leadingDimension,
      type: type, address: address + selected.lowerBound * (isColumnMajor ? 1 : leadingDimension) * type.size,
      owner: owner)
  }

  /// Those columns of it.
  public func selecting(columns selected: Range<Int>) -> Matrix { transposed.selecting(rows: selected).transposed }

  /// From the first element to the last.
  public var bytes: UnsafeRawBufferPointer {
    let (lines, length) = isColumnMajor ? (columns, rows) : (rows, columns)
    return UnsafeRawBufferPointer(
      start: address, count: lines == 0 ? 0 : ((lines - 1) * leadingDimension + length) * type.size)
  }

  /// The elements of a matrix of Float.
  public var floats: UnsafePointer<Float> {
    precondition(type == .f32)
    return address.assumingMemoryBound(to: Float.self)
  }

  /// Copies some rows of a matrix of Float, one after another, each of `columns` numbers. Read fastest where they ascend.
  public func copyRows(_ chosen: some Collection<Int32>, to destination: UnsafeMutablePointer<Float>) {
    precondition(chosen.allSatisfy { (0..<rows).contains(Int($0)) })
    guard isColumnMajor else {
      for (place, row) in chosen.enumerated() {
        (destination + place * columns).update(from: floats + Int(row) * leadingDimension, count: columns)
      }
      return
    }
    vector_copy_rows(destination, floats, leadingDimension, Array(chosen), chosen.count, columns)
  }
}
