import QwenModel
import TensorOperations
import TensorStream

/// Gradients of the summed loss at the MLP outputs of the unmodified model, batch after batch.
public final class ActivationGradients {
  private let model: QwenModel
  private let start: Int
  /// Ascending.
  private let layers: [Int]
  private let residual = HostTensor()
  private let rows = HostTensor()
  private var gradients: [Int: HostTensor] = [:]
  /// Totals over all batches so far; the loss in nats.
  public private(set) var loss = 0.0
  public private(set) var predictions = 0

  /// - Parameters:
  ///   - start: the captured layer to go on from.
  ///   - layers: whose gradients to record, ascending, none below `start`.
  public init(model: QwenModel, start: Int, layers: [Int]) {
    precondition(start <= layers[0])
    self.model = model
    self.start = start
    self.layers = layers
    for layer in layers { gradients[layer] = HostTensor() }
  }

  /// The gradients record of an activations record, valid until the next call.
  public func record(_ activations: Record, _ tokens: TokenBatch) throws -> OutputRecord {
    let batch = try activations.locating { try Batch(tokens, model.configuration) }
    try sumResidual(activations, tokens)
    let positions = RecordedPositions(tokens, stride: 1)
    let losses = model.gradients(batch, after: start, residual: residual.values.baseAddress!, downTo: layers[0]) {
      layer, gradient in
      if let kept = gradients[layer] { keep(positions, of: gradient, in: kept) }
    }
    loss += losses.reduce(0, +)
    predictions += tokens.predictions.reduce(0) { $0 + Int($1) }

    var record = OutputRecord()
    positions.description(of: tokens, loss: losses).add(to: &record)
    for layer in layers {
      record.add(
        "grad.\(layer)", borrowing: gradients[layer]!.values,
        shape: [positions.rows.count, model.configuration.hiddenSize])
    }
    return record
  }

  /// The residual stream behind the layer, the sum of what was captured.
  private func sumResidual(_ activations: Record, _ tokens: TokenBatch) throws {
    let shape = [tokens.tokenCount, model.configuration.hiddenSize]
    let middle = try activations.tensor("resid_mid.\(start)", shape: shape, of: Float.self)
    let mlpOutput = try activations.tensor("mlp_out.\(start)", shape: shape, of: Float.self)
    let sum = residual.resize(middle.count)
    for i in 0..<middle.count { sum[i] = middle[i] + mlpOutput[i] }
  }

  private func keep(_ positions: RecordedPositions, of gradient: Tensor, in kept: HostTensor) {
    if positions.areAllRows(of: gradient.rows) {
      model.operations.download(kept.resize(gradient.count), from: gradient)
      return
    }
    let all = rows.resize(gradient.count)
    model.operations.download(all, from: gradient)
    let destination = kept.resize(positions.rows.count * gradient.columns)
    for (index, row) in positions.rows.enumerated() {
      (destination + index * gradient.columns).update(from: all + row * gradient.columns, count: gradient.columns)
    }
  }
}
