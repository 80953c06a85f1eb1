/// A matrix of floats that may lie by rows or by columns, as files of different libraries have it.
public struct Matrix {
  public let rows: Int
  public let columns: Int
  /// Whether the elements of a column follow one another, instead of those of a row.
  public let isColumnMajor: Bool
  /// Elements from one row to the next, or from one column to the next.
  public let leadingDimension: Int
  public let address: UnsafePointer<Float>
  private let owner: AnyObject

  public init(
    rows: Int, columns: Int, isColumnMajor: Bool, leadingDimension: Int, address: UnsafePointer<Float>,
    owner: AnyObject
  ) {
    precondition(leadingDimension >= (isColumnMajor ? rows : columns))
    self.rows = rows
    self.columns = columns
    self.isColumnMajor = isColumnMajor
    self.leadingDimension = leadingDimension
    self.address = address
    self.owner = owner
  }

  public init(_ tensor: Tensor) {
    self.init(
      rows: tensor.rows, columns: tensor.columns, isColumnMajor: false, leadingDimension: tensor.columns,
      address: tensor.address, owner: tensor.owner)
  }

  /// The same memory, read the other way.
  public var transposed: Matrix {
    Matrix(
      rows: columns, columns: rows, isColumnMajor: !isColumnMajor, leadingDimension: leadingDimension,
      address: address, owner: owner)
  }
}
