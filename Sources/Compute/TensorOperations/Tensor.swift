/// A dense row-major matrix of Float in a device's memory.
///
/// Small enough to pass around: it refers to memory that `owner` keeps alive, so a part of a larger buffer or of a
/// memory-mapped file is a tensor too.
public struct Tensor {
  public let rows: Int
  public let columns: Int
  /// Where the first element lies, in the memory of the device that made the tensor.
  public let address: UnsafeMutablePointer<Float>
  package let owner: AnyObject

  public init(rows: Int, columns: Int, address: UnsafeMutablePointer<Float>, owner: AnyObject) {
    self.rows = rows
    self.columns = columns
    self.address = address
    self.owner = owner
  }

  public var count: Int { rows * columns }

  /// The first `rows` rows.
  public func first(rows: Int) -> Tensor {
    precondition(rows <= self.rows)
    return Tensor(rows: rows, columns: columns, address: address, owner: owner)
  }

  /// Some of the rows.
  package func rows(_ rows: Range<Int>) -> Tensor {
    precondition(rows.lowerBound >= 0 && rows.upperBound <= self.rows)
    return Tensor(rows: rows.count, columns: columns, address: address + rows.lowerBound * columns, owner: owner)
  }

  /// The first numbers as rows of another width.
  package func part(rows: Int, columns: Int) -> Tensor {
    precondition(rows * columns <= count)
    return Tensor(rows: rows, columns: columns, address: address, owner: owner)
  }

  /// The same numbers as more rows that are narrower, such as those of every head, of which a row has several.
  public func rows(ofWidth width: Int) -> Tensor {
    precondition(columns % width == 0)
    return Tensor(rows: rows * (columns / width), columns: width, address: address, owner: owner)
  }

  package func hasShape(_ rows: Int, _ columns: Int) -> Bool { self.rows == rows && self.columns == columns }
}
