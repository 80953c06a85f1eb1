import TensorFiles
import TensorOperations

/// Brings a checkpoint's weights to the device.
struct WeightLoader {
  let checkpoint: Checkpoint
  let operations: any PassOperations

  /// A matrix (out, in).
  ///
  /// - Parameter layer: which layer's; of no meaning where the whole model has one.
  /// - Throws: `Failure` of kind malformed where the file's checksum is wrong.
  func matrix(_ slot: WeightSlot, _ layer: Int = 0) throws -> Matrix {
    let source = checkpoint.description.weights[slot]!
    var tensor = try checkpoint.tensor(source.name(layer))
    if source.isTransposed { tensor = tensor.transposed }
    switch source.part {
    case .whole: break
    case .range(let rows): tensor = try tensor.selecting(rows: rows)
    case .ofEach(let group, let rows):
      // As they lie apart in the file, they are copied, in their type.
      tensor = try tensor.selecting(rows: rows, ofEach: group)
    }
    return operations.makeMatrix(try Matrix(tensor))
  }

  /// As `vector`; nil where the family has no such weight.
  func vectorIfThere(_ slot: WeightSlot, _ layer: Int) throws -> Tensor? {
    checkpoint.description.weights[slot] == nil ? nil : try vector(slot, layer)
  }

  /// A norm's weight or a bias, (1,n); zeros for one that the checkpoint does not have.
  ///
  /// - Throws: as `matrix`.
  func vector(_ slot: WeightSlot, _ layer: Int = 0) throws -> Tensor {
    let source = checkpoint.description.weights[slot]!
    var values = [Float](repeating: 0, count: source.shape[0])
    let name = source.name(layer)
    if checkpoint.has(name) {
      let tensor = try checkpoint.tensor(name)
      widen(&values, try tensor.elements().baseAddress!, values.count, tensor.type)
    }
    let chosen = source.part.rows(of: values.count).flatMap { values[$0] }
    let vector = operations.makeTensor(rows: 1, columns: chosen.count)
    operations.upload(vector, from: chosen)
    return vector
  }
}
