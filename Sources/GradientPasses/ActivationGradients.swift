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
  private let allRows = HostTensor()
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
    try activations.sumResidual(
      after: start, rows: tokens.tokenCount, width: model.configuration.hiddenSize, in: residual)
    let positions = RecordedPositions(tokens)
    let losses = model.gradients(batch, after: start, residual: residual.values.baseAddress!, downTo: layers[0]) {
      layer, gradient in
      guard let kept = gradients[layer] else { return }
      model.operations.download(allRows.resize(gradient.count), from: gradient)
      positions.gather(allRows.values.baseAddress!, columns: gradient.columns, into: kept)
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
}

extension Record {
  /// Adds up the residual stream behind a captured layer, [rows, width].
  func sumResidual(after layer: Int, rows: Int, width: Int, in sum: HostTensor) throws {
    let middle = try tensor("resid_mid.\(layer)", shape: [rows, width], of: Float.self)
    let mlpOutput = try tensor("mlp_out.\(layer)", shape: [rows, width], of: Float.self)
    let sum = sum.resize(middle.count)
    for i in 0..<middle.count { sum[i] = middle[i] + mlpOutput[i] }
  }
}
