import SystemIO
import TensorOperations

/// Rows that are gathered into one product with a decoder: enough for the product's full speed.
final class GatheredRows {
  static let capacity = 512

  private let operations: any TensorOperations
  private let host: AlignedBuffer
  private let device: Tensor
  private(set) var count = 0

  init(columns: Int, _ operations: any TensorOperations) {
    self.operations = operations
    host = AlignedBuffer(capacity: Self.capacity * columns * MemoryLayout<Float>.stride)
    device = operations.makeTensor(rows: Self.capacity, columns: columns)
  }

  var isFull: Bool { count == Self.capacity }

  /// Memory for one more row.
  func next() -> UnsafeMutablePointer<Float> {
    precondition(!isFull)
    defer { count += 1 }
    return host.address.assumingMemoryBound(to: Float.self) + count * device.columns
  }

  /// The rows where they are multiplied; gathers from the first again.
  func take() -> Tensor {
    let rows = device.first(rows: count)
    operations.upload(rows, from: host.address.assumingMemoryBound(to: Float.self))
    count = 0
    return rows
  }
}
