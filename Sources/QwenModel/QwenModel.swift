import Safetensors
import SystemIO
import TensorOperations

/// A Qwen2 model, or those of its layers that a program needs.
public final class QwenModel {
  public let configuration: QwenConfiguration
  private let checkpoint: Checkpoint
  private let pass: Pass
  /// What the tensors that a pass shows belong to.
  public var operations: any TensorOperations { pass.operations }
  /// By layer number.
  private let layers: [Int: DecoderLayer]
  /// The final norm's weight and the output head (V,D), where they were loaded.
  private let output: (norm: Tensor, head: Matrix)?
  /// Memory for as many rows as the largest batch so far.
  private var capacity = 0
  private var workspace: Workspace!
  private var activations: [LayerActivations] = []
  private var residual: ResidualStream!
  /// What `passRows` found.
  private var mostRows: Int?

  /// Loads the weights of `layers` and, where asked for, of the output head.
  ///
  /// - Throws: `Failure` of kind unavailable where the device cannot compute the model's attention.
  public init(
    _ checkpoint: Checkpoint, layers wanted: Range<Int>, includingHead: Bool, operations: any TensorOperations
  ) throws {
    self.checkpoint = checkpoint
    let configuration = checkpoint.configuration
    self.configuration = configuration
    try operations.check(configuration.attention)
    pass = Pass(configuration: configuration, operations: operations)
    let weights = WeightLoader(checkpoint: checkpoint, operations: operations)
    var layers: [Int: DecoderLayer] = [:]
    for layer in wanted { layers[layer] = try DecoderLayer(layer, configuration, weights) }
    self.layers = layers
    output =
      includingHead
      ? (
        try weights.vector(ModelTensors.finalNorm, configuration.hiddenSize), try weights.matrix(ModelTensors.head)
      ) : nil
  }

  /// Where the first NaN or infinity of the checkpoint's weights stands, in words; reads all of them.
  public func placeOfNonfinite() -> String? { checkpoint.placeOfNonfinite() }

  // MARK: - Forward

  /// Runs layers 0 to `last` and shows what is captured of each.
  ///
  /// - Parameter capture: called with the layer's number, the residual stream between attention and MLP, and the
  ///   MLP's output, (N,D) both, which are valid during the call.
  public func forward(_ batch: Batch, through last: Int, capture: (Int, Tensor, Tensor) throws -> Void) throws {
    _ = try run(batch, through: last, capture: capture)
  }

  /// Runs all layers, shows what is captured of each, and returns each sample's loss in nats, summed over its
  /// predictions.
  public func losses(_ batch: Batch, capture: (Int, Tensor, Tensor) throws -> Void) throws -> [Double] {
    let state = try run(batch, through: configuration.layerCount - 1, capture: capture)
    return loss(batch, state, dResidual: nil)
  }

  private func run(_ batch: Batch, through last: Int, capture: (Int, Tensor, Tensor) throws -> Void) throws -> Forward {
    prepare(rows: batch.rowCount, layers: 1)
    let workspace = workspace.first(rows: batch.rowCount)
    let saved = activations[0].first(rows: batch.rowCount)
    try embed(batch, into: saved.input)
    for layer in 0...last {
      layers[layer]!.forward(saved, workspace, batch, pass)
      try capture(layer, saved.middle, workspace.mlpOutput)
      pass.operations.copy(saved.input, from: saved.middle)
      pass.operations.add(saved.input, workspace.mlpOutput)
    }
    return Forward(
      saved: [], workspace: workspace, residual: saved.input, dResidual: residual.gradient.first(rows: batch.rowCount))
  }

  /// The logits (N,V) of a batch, by the same layers as everything else.
  public func logits(_ batch: Batch) throws -> [Float] {
    let residual = try run(batch, through: configuration.layerCount - 1) { _, _, _ in }.residual
    let normalized = workspace.first(rows: batch.rowCount).normalized
    let output = output!
    pass.operations.rmsNorm(
      y: normalized, inverseRMS: activations[0].inputInverseRMS.first(rows: batch.rowCount), x: residual,
      weight: output.norm, epsilon: configuration.rmsNormEpsilon)
    let logits = pass.operations.makeTensor(rows: batch.rowCount, columns: configuration.vocabularySize)
    pass.operations.linear(y: logits, x: normalized, weight: output.head)
    return [Float](unsafeUninitializedCapacity: logits.count) { values, count in
      pass.operations.download(values.baseAddress!, from: logits)
      count = logits.count
    }
  }

  /// Rows of the embedding matrix, taken from the checkpoint itself: a batch needs few of them.
  private func embed(_ batch: Batch, into residual: Tensor) throws {
    let D = configuration.hiddenSize
    let embedding = try checkpoint.tensor(ModelTensors.embedding)
    let (bytes, type) = (try embedding.elements(), embedding.type)
    let rows = UnsafeMutablePointer<Float>.allocate(capacity: residual.count)
    defer { rows.deallocate() }
    for (row, id) in batch.inputIDs.enumerated() {
      widen(rows + row * D, bytes.baseAddress! + Int(id) * D * type.size, D, type)
    }
    pass.operations.upload(residual, from: rows)
  }

  // MARK: - Loss and gradients

  /// Goes on from the residual stream behind layer `start` to the loss, and back.
  ///
  /// - Parameters:
  ///   - start: the layer behind which the residual stream is given; the layers above it must have been loaded.
  ///   - residual: (N,D) in host memory.
  ///   - stop: the lowest layer whose gradient is wanted, `start` or above.
  ///   - record: called from the last layer down to `stop` with a layer's number and the gradient of the summed loss
  ///     at its MLP's output, (N,D), valid during the call. It is the gradient in the residual stream behind that
  ///     layer, since the MLP's output is added to it.
  /// - Returns: each sample's loss in nats, summed over its predictions.
  public func gradients(
    _ batch: Batch, after start: Int, residual given: UnsafePointer<Float>, downTo stop: Int,
    record: (Int, Tensor) throws -> Void
  ) rethrows -> [Double] {
    let state = forward(batch, after: start, residual: given)
    let losses = loss(batch, state, dResidual: state.dResidual)
    for layer in (stop..<configuration.layerCount).reversed() {
      if layer + 1 < configuration.layerCount {
        layers[layer + 1]!.backward(dx: state.dResidual, state.saved[layer - start], state.workspace, batch, pass)
      }
      try record(layer, state.dResidual)
    }
    return losses
  }

  /// Goes on from the residual stream behind layer `start` to each sample's summed loss, without a way back.
  public func losses(_ batch: Batch, after start: Int, residual given: UnsafePointer<Float>) -> [Double] {
    loss(batch, forward(batch, after: start, residual: given), dResidual: nil)
  }

  /// A forward pass that is over: what its way back needs.
  private struct Forward {
    /// Of the layers above the one it started behind.
    let saved: [LayerActivations]
    let workspace: Workspace
    /// (N,D), behind the last layer.
    let residual: Tensor
    let dResidual: Tensor
  }

  private func forward(_ batch: Batch, after start: Int, residual given: UnsafePointer<Float>) -> Forward {
    let ops = pass.operations
    let above = start + 1..<configuration.layerCount
    let N = batch.rowCount
    prepare(rows: N, layers: above.count)
    let state = Forward(
      saved: activations.prefix(above.count).map { $0.first(rows: N) }, workspace: workspace.first(rows: N),
      residual: residual.values.first(rows: N), dResidual: residual.gradient.first(rows: N))
    ops.upload(state.residual, from: given)
    for (layer, saved) in zip(above, state.saved) {
      ops.copy(saved.input, from: state.residual)
      layers[layer]!.forward(saved, state.workspace, batch, pass)
      ops.copy(state.residual, from: saved.middle)
      ops.add(state.residual, state.workspace.mlpOutput)
    }
    return state
  }

  /// Each sample's loss and, where asked for, the gradient of their sum at the residual stream behind the last layer.
  private func loss(_ batch: Batch, _ state: Forward, dResidual: Tensor?) -> [Double] {
    let ops = pass.operations
    let output = output!
    // The width of a residual row is all that these two need; both are free between the passes.
    let (normalized, dNormalized) = (state.workspace.normalized, state.workspace.mlpOutput)
    let inverseRMS = residual.inverseRMS.first(rows: batch.rowCount)
    ops.rmsNorm(
      y: normalized, inverseRMS: inverseRMS, x: state.residual, weight: output.norm,
      epsilon: configuration.rmsNormEpsilon)
    let losses = ops.crossEntropy(
      dx: dResidual == nil ? nil : dNormalized, x: normalized, head: output.head, targets: batch.targets)
    if let dResidual {
      ops.clear(dResidual)
      ops.rmsNormBackward(
        dx: dResidual, dy: dNormalized, x: state.residual, weight: output.norm, inverseRMS: inverseRMS)
    }
    return batch.samples.samples.map { losses[$0.rows].reduce(0, +) }
  }

  // MARK: - Memory

  /// Rows of samples that a pass has at most, where samples are that short. All weights must be there when it is first
  /// asked for: what is free beside them decides on a GPU.
  ///
  /// - Parameters:
  ///   - keptLayers: how many layers' activations a pass keeps for its way back.
  ///   - otherBytes: what a row takes besides, such as in autoencoders.
  public func passRows(keptLayers: Int, otherBytes: Int = 0) -> Int {
    let rows =
      mostRows ?? operations.passRows(bytesPerRow: configuration.bytesPerRow(keptLayers: keptLayers) + otherBytes)
    mostRows = rows
    return rows
  }

  /// Memory for a batch of `rows`, kept for the next one.
  private func prepare(rows: Int, layers: Int) {
    let needed = max(layers, 1, activations.count)
    guard rows > capacity || needed > activations.count else { return }
    if rows > capacity {
      // So that batches of about the same size need no new memory. What is not touched takes none on the processor; a
      // GPU may have none for more rows than were counted on.
      let rounded = (rows + 1023) / 1024 * 1024
      if let mostRows, rows <= mostRows { capacity = min(rounded, mostRows) } else { capacity = rounded }
    }
    // Given back before the larger one is made.
    (workspace, activations, residual) = (nil, [], nil)
    let tensor = { [capacity, operations] in operations.makeTensor(rows: capacity, columns: $0) }
    workspace = Workspace(configuration, makeTensor: tensor)
    activations = (0..<needed).map { _ in LayerActivations(configuration, makeTensor: tensor) }
    residual = ResidualStream(configuration, makeTensor: tensor)
  }
}
