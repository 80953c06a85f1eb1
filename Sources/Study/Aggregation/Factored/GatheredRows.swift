import SystemIO
import TensorOperations

/// Rows that are gathered into one product with a decoder: enough for the product's full speed.
final class GatheredRows {
  static let capacity = 512

  private let columns: Int
  private let buffer: AlignedBuffer
  private(set) var count = 0

  init(columns: Int) {
    self.columns = columns
    buffer = AlignedBuffer(capacity: Self.capacity * columns * MemoryLayout<Float>.stride)
  }

  var isFull: Bool { count == Self.capacity }

  /// Memory for one more row.
  func next() -> UnsafeMutablePointer<Float> {
    precondition(!isFull)
    defer { count += 1 }
    return buffer.address.assumingMemoryBound(to: Float.self) + count * columns
  }

  /// Brings the rows to where they are multiplied, into a tensor of as many; gathers from the first again.
  func move(to rows: Tensor, _ operations: any TensorOperations) {
    precondition(rows.rows == count && rows.columns == columns)
    guard count > 0 else { return }
    operations.upload(rows, from: buffer.address.assumingMemoryBound(to: Float.self))
    count = 0
  }
}
