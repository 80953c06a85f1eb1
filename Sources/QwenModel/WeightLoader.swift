import StoredTensors
import TensorOperations

/// Brings a checkpoint's tensors to the device.
struct WeightLoader {
  let checkpoint: Checkpoint
  let operations: any TensorOperations

  /// A matrix, (rows, columns) as the model's configuration makes them.
  ///
  /// - Throws: `Failure` of kind malformed where the file's checksum is wrong.
  func matrix(_ name: String) throws -> Matrix {
    operations.makeMatrix(try Matrix(checkpoint.tensor(name)))
  }

  /// A norm's weight or a bias, (1,count); zeros for a bias that the checkpoint does not have.
  ///
  /// - Throws: as `matrix`.
  func vector(_ name: String, _ count: Int) throws -> Tensor {
    let vector = operations.makeTensor(rows: 1, columns: count)
    var values = [Float](repeating: 0, count: count)
    if checkpoint.has(name) {
      let tensor = try checkpoint.tensor(name)
      widen(&values, try tensor.elements().baseAddress!, count, tensor.type)
    }
    operations.upload(vector, from: values)
    return vector
  }
}
