import TensorOperations

/// Brings a checkpoint's tensors to the device.
struct WeightLoader {
  let checkpoint: Checkpoint
  let operations: any TensorOperations

  /// - Throws: `Failure` of kind malformed where the checkpoint has no floating-point tensor of that name and shape.
  func matrix(_ name: String, _ rows: Int, _ columns: Int) throws -> Matrix {
    let (bytes, info, file) = try checkpoint.tensor(name, shape: [rows, columns])
    return operations.makeWeight(bytes, type: info.type, rows: rows, columns: columns, owner: file)
  }

  /// A norm's weight or a bias, (1,count).
  ///
  /// - Throws: as `matrix`.
  func vector(_ name: String, _ count: Int) throws -> Tensor {
    let (bytes, info, _) = try checkpoint.tensor(name, shape: [count])
    let vector = operations.makeTensor(rows: 1, columns: count)
    var values = [Float](repeating: 0, count: count)
    widen(&values, bytes.baseAddress!, count, info.type)
    operations.upload(vector, from: values)
    return vector
  }
}
