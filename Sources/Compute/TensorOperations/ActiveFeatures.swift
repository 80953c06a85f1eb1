/// The features of consecutive positions that are not 0, as a sparse matrix by rows (CSR), a row a position.
public struct ActiveFeatures: DeviceFeatures, Equatable, Sendable {
  /// Where each row begins in `indices` and `values`, and at last how many these have: [rows + 1], from 0.
  public private(set) var offsets: [Int64]
  /// Of each row the features, ascending.
  public private(set) var indices: [Int32]
  /// What each of these features is.
  public private(set) var values: [Float]

  /// - Parameter offsets: from 0 to the number of indices and values, never falling.
  public init(offsets: [Int64] = [0], indices: [Int32] = [], values: [Float] = []) {
    precondition(offsets.first == 0 && Int(offsets.last!) == indices.count && indices.count == values.count)
    self.offsets = offsets
    self.indices = indices
    self.values = values
  }

  /// The rows of all parts, one part after another.
  public init(joining parts: some Collection<ActiveFeatures>) {
    self.init()
    guard let first = parts.first else { return }
    self = first
    guard parts.count > 1 else { return }
    offsets.reserveCapacity(parts.reduce(1) { $0 + $1.rowCount })
    indices.reserveCapacity(parts.reduce(0) { $0 + $1.count })
    values.reserveCapacity(parts.reduce(0) { $0 + $1.count })
    for part in parts.dropFirst() { append(part) }
  }

  public var rowCount: Int { offsets.count - 1 }

  /// Active features of all rows together.
  public var count: Int { indices.count }

  /// Where these rows' features lie in `indices` and `values`.
  public func range(ofRows rows: Range<Int>) -> Range<Int> {
    Int(offsets[rows.lowerBound])..<Int(offsets[rows.upperBound])
  }

  /// Some of the rows as a matrix of their own, whose features are not copied.
  public func rows(
    _ rows: Range<Int>
  ) -> (offsets: [Int64], indices: ArraySlice<Int32>, values: ArraySlice<Float>) {
    let range = range(ofRows: rows)
    let first = offsets[rows.lowerBound]
    return (offsets[rows.lowerBound...rows.upperBound].map { $0 - first }, indices[range], values[range])
  }

  /// Puts the rows of `other` behind these.
  public mutating func append(_ other: ActiveFeatures) {
    let before = offsets.last!
    offsets += other.offsets.dropFirst().map { before + $0 }
    indices += other.indices
    values += other.values
  }

  /// Puts one row behind these, whose active features are those of `row` and have the values that `p` has there.
  mutating func appendRow(_ row: UnsafeBufferPointer<Int32>, of p: UnsafePointer<Float>) {
    indices.append(contentsOf: row)
    for index in row { values.append(p[Int(index)]) }
    offsets.append(Int64(indices.count))
  }

  /// values *= the factors of their features
  mutating func scale(by factors: UnsafePointer<Float>) {
    for i in indices.indices { values[i] *= factors[Int(indices[i])] }
  }
}
