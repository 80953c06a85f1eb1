import TensorFiles
import TensorOperations

/// Brings a checkpoint's weights to the device.
struct WeightLoader {
  let checkpoint: Checkpoint
  let operations: any TensorOperations

  /// A matrix (out, in).
  ///
  /// - Parameter layer: which layer's; of no meaning where the whole model has one.
  /// - Throws: `Failure` of kind malformed where the file's checksum is wrong.
  func matrix(_ slot: WeightSlot, _ layer: Int = 0) throws -> Matrix {
    let source = checkpoint.description.weights[slot]!
    var tensor = try checkpoint.tensor(source.name(layer))
    if source.isTransposed { tensor = tensor.transposed }
    if let slice = source.slice { tensor = try tensor.selecting(rows: slice) }
    return operations.makeMatrix(try Matrix(tensor))
  }

  /// As `vector`; nil where the family has no such bias.
  func bias(_ slot: WeightSlot, _ layer: Int) throws -> Tensor? {
    checkpoint.description.weights[slot] == nil ? nil : try vector(slot, layer)
  }

  /// A norm's weight or a bias, (1,n); zeros for one that the checkpoint does not have.
  ///
  /// - Throws: as `matrix`.
  func vector(_ slot: WeightSlot, _ layer: Int = 0) throws -> Tensor {
    let source = checkpoint.description.weights[slot]!
    let slice = source.slice ?? 0..<source.shape[0]
    var values = [Float](repeating: 0, count: slice.count)
    let name = source.name(layer)
    if checkpoint.has(name) {
      let tensor = try checkpoint.tensor(name)
      let start = try tensor.elements().baseAddress! + slice.lowerBound * tensor.type.size
      widen(&values, start, slice.count, tensor.type)
    }
    let vector = operations.makeTensor(rows: 1, columns: slice.count)
    operations.upload(vector, from: values)
    return vector
  }
}
