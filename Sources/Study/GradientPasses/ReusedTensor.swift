import TensorOperations

/// A device's memory for a tensor that is made anew again and again.
final class ReusedTensor {
  private let operations: any PassOperations
  private var memory: Tensor?

  init(_ operations: any PassOperations) { self.operations = operations }

  /// A tensor whose contents are those of whoever used the memory last.
  ///
  /// - Parameter capacity: numbers to have memory for where there is not enough.
  func tensor(rows: Int, columns: Int, capacity: Int = 0) -> Tensor {
    if memory.map({ $0.count < rows * columns }) ?? true {
      // Given back before the other one is made.
      memory = nil
      memory = operations.makeTensor(rows: 1, columns: max(rows * columns, capacity))
    }
    return memory!.part(rows: rows, columns: columns)
  }
}
