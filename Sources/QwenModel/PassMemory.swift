import TensorOperations

/// A pass over a batch: what it computes with, in and for.
struct Pass {
  let operations: any TensorOperations
  let batch: Batch
  let workspace: Workspace
  /// (N,D): the residual stream before the next layer, and its gradient on the way back.
  let residual: Tensor
  let dResidual: Tensor
  /// Of the layers from `firstKept` on, or one for all of them in turn where there is no way back.
  fileprivate let kept: [LayerActivations]
  fileprivate let firstKept: Int?

  /// What the way back needs of a layer.
  func saved(_ layer: Int) -> LayerActivations { kept[firstKept.map { layer - $0 } ?? 0] }
}

/// The memory of passes, kept from one to the next.
final class PassMemory {
  private let description: DecoderDescription
  private let operations: any TensorOperations
  /// As many rows as the largest batch so far had.
  private var capacity = 0
  private var workspace: Workspace!
  private var activations: [LayerActivations] = []
  private var residual: Tensor!
  private var dResidual: Tensor!

  init(_ description: DecoderDescription, _ operations: any TensorOperations) {
    self.description = description
    self.operations = operations
  }

  /// - Parameter layers: how many of the model's last layers are to be gone back through.
  func pass(_ batch: Batch, layers: Int) -> Pass {
    let rows = batch.rowCount
    prepare(rows: rows, layers: layers)
    return Pass(
      operations: operations, batch: batch, workspace: workspace.first(rows: rows),
      residual: residual.first(rows: rows),
      dResidual: dResidual.first(rows: rows), kept: activations.prefix(max(layers, 1)).map { $0.first(rows: rows) },
      firstKept: layers > 0 ? description.layerCount - layers : nil)
  }

  private func prepare(rows: Int, layers: Int) {
    let needed = max(layers, 1)
    guard rows > capacity || needed > activations.count else { return }
    // Rounded up, so that batches of about the same size need no new memory; what is not touched takes none.
    if rows > capacity { capacity = (rows + 1023) / 1024 * 1024 }
    let tensor = { [operations, capacity] (columns: Int) in operations.makeTensor(rows: capacity, columns: columns) }
    workspace = Workspace(description, tensor)
    activations = (0..<max(needed, activations.count)).map { _ in LayerActivations(description, tensor) }
    residual = tensor(description.width)
    dResidual = tensor(description.width)
  }
}
