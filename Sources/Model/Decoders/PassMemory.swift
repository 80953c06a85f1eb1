import TensorOperations

/// A pass over a batch: what it computes with, in and for.
struct PassTensors {
  let operations: any PassOperations
  let input: ModelInput
  let workspace: Workspace
  /// (N,D): the residual stream before the next layer, and its gradient on the way back.
  let residual: Tensor
  let dResidual: Tensor
  /// (N,1), of the norm behind the last layer.
  let statistics: Tensor
  /// Of the layers from `firstKept` on, or one for all of them in turn where there is no way back.
  fileprivate let kept: [LayerActivations]
  fileprivate let firstKept: Int?
  /// What this pass does with what later rows give back to those that go back again in Double, where there are such.
  private(set) var laterAttention: LaterAttentionUse?

  /// What the way back needs of a layer.
  func saved(_ layer: Int) -> LayerActivations { kept[firstKept.map { layer - $0 } ?? 0] }

  /// Those of all layers that are gone back through.
  var keptLayers: [LayerActivations] { firstKept == nil ? [] : kept }

  /// The same pass, whose way back keeps what some rows need that go back again in Double.
  func keeping(_ later: LaterAttention) -> PassTensors {
    var pass = self
    pass.laterAttention = .kept(in: later)
    return pass
  }

  /// The same pass over those rows alone, whose way back takes up what was kept.
  func taking(_ later: LaterAttention) -> PassTensors {
    var pass = self
    pass.laterAttention = .added(from: later)
    return pass
  }
}

/// The memory of passes, kept from one to the next.
final class PassMemory {
  private let description: DecoderDescription
  private let operations: any PassOperations
  /// As many rows as the largest batch so far had.
  private var capacity = 0
  private var workspace: KeptTensors!
  private var residual: KeptTensors!
  /// Of each layer that is gone back through.
  private var activations: [KeptTensors] = []
  /// What `passRows` found.
  private var mostRows: Int?

  init(_ description: DecoderDescription, _ operations: any PassOperations) {
    self.description = description
    self.operations = operations
  }

  /// - Parameter layers: how many of the model's last layers are to be gone back through.
  func pass(_ input: ModelInput, layers: Int) -> PassTensors {
    let rows = input.rowCount
    prepare(rows: rows, layers: layers)
    let residual = residual.first(rows: rows) { ResidualStream(description, $0) }
    return PassTensors(
      operations: operations, input: input, workspace: workspace.first(rows: rows) { Workspace(description, $0) },
      residual: residual.values, dResidual: residual.gradient, statistics: residual.statistics,
      kept: activations.prefix(max(layers, 1)).map { $0.first(rows: rows) { LayerActivations(description, $0) } },
      firstKept: layers > 0 ? description.layerCount - layers : nil)
  }

  /// Rows of samples that a pass has at most, where samples are that short. All weights must be there when it is first
  /// asked for: what is free beside them decides on a GPU.
  ///
  /// - Parameters:
  ///   - keptLayers: how many layers' activations a pass keeps for its way back.
  ///   - otherBytes: what a row takes besides, such as in autoencoders.
  func passRows(keptLayers: Int, otherBytes: Int) -> Int {
    let rows =
      mostRows ?? operations.passRows(bytesPerRow: description.bytesPerRow(keptLayers: keptLayers) + otherBytes)
    mostRows = rows
    return rows
  }

  private func prepare(rows: Int, layers: Int) {
    let needed = max(layers, 1, activations.count)
    guard rows > capacity || needed > activations.count else { return }
    if rows > capacity {
      // So that batches of about the same size need no new memory. What is not touched takes none on the processor, but
      // for a huge page a tensor, which is much for a few rows; a GPU may have none for more rows than were counted on.
      let unit = mostRows == nil ? 16 : 1024
      let rounded = (rows + unit - 1) / unit * unit
      if let mostRows, rows <= mostRows { capacity = min(rounded, mostRows) } else { capacity = rounded }
    }
    // Given back before the larger one is made.
    (workspace, activations, residual) = (nil, [], nil)
    workspace = KeptTensors(rows: capacity, operations) { Workspace(description, $0) }
    activations = (0..<needed).map { _ in
      KeptTensors(rows: capacity, operations) { LayerActivations(description, $0) }
    }
    residual = KeptTensors(rows: capacity, operations) { ResidualStream(description, $0) }
  }
}

/// What a row of a pass takes in a device's memory, counted by the initialisers that make a pass's tensors.
extension DecoderDescription {
  /// Bytes of a row: the activations that are kept for the way back, what all layers use in turn, and what the device's
  /// operations hold of a row while they run. What they hold of the logits does not grow with the rows; the device
  /// knows it.
  ///
  /// - Parameter keptLayers: how many layers' activations are kept at a time.
  package func bytesPerRow(keptLayers: Int) -> Int {
    var columns = 0
    func count(_ width: Int) -> Tensor {
      columns += width
      return Tensor(rows: 0, columns: width, address: UnsafeMutablePointer(bitPattern: 64)!, owner: nobody)
    }
    _ = LayerActivations(self, count)
    columns *= max(keptLayers, 1)
    _ = Workspace(self, count)
    _ = ResidualStream(self, count)
    return (columns + operationColumns) * MemoryLayout<Float>.stride
  }

  /// Numbers of a row that operations hold: attention's δ of each head; 7 of the row's softmax over the vocabulary, and a
  /// Double, which takes two, for each dimension of the words that it sets aside; 7 of its target, its position and its
  /// places in lists; three copies that are under way to host memory, and two from there; where query heads share a key
  /// head, each one's gradients at its key and value.
  private var operationColumns: Int {
    let ofQueryHeads = attention.heads > attention.keyValueHeads ? 2 * attention.heads * attention.headWidth : 0
    return attention.heads + 7 + 2 * width + 7 + 5 * width + ofQueryHeads
  }
}

private let nobody = Nobody()
private final class Nobody: Sendable {}
