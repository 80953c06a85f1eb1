import QwenModel
import TensorOperations
import TensorStream

/// Collects the activations of a forward pass over one batch after another, in memory that is reused.
public final class ActivationCapture {
  private let model: QwenModel
  /// Ascending.
  private let layers: [Int]
  private let computesLoss: Bool
  /// Each sample's loss in nats, where it is computed.
  private var losses: [Double]?
  private var captured: [Int: (middle: HostTensor, mlpOutput: HostTensor)] = [:]

  /// - Parameters:
  ///   - layers: what to capture, ascending; the model must have all layers up to the last of them.
  ///   - computesLoss: whether all layers are run and the output head too; the model must have them.
  public init(model: QwenModel, layers: [Int], computesLoss: Bool = false) {
    self.model = model
    self.layers = layers
    self.computesLoss = computesLoss
    for layer in layers { captured[layer] = (HostTensor(), HostTensor()) }
  }

  /// Runs the layers that are needed over a batch.
  public func run(_ tokens: TokenBatch) throws {
    let batch = try Batch(tokens, model.configuration)
    if computesLoss {
      losses = try model.losses(batch, capture: keep)
    } else {
      try model.forward(batch, through: layers.last!, capture: keep)
    }
  }

  private func keep(_ layer: Int, _ middle: Tensor, _ mlpOutput: Tensor) {
    guard let captured = captured[layer] else { return }
    model.operations.download(captured.middle.resize(middle.count), from: middle)
    model.operations.download(captured.mlpOutput.resize(mlpOutput.count), from: mlpOutput)
  }

  /// The batch's record of an activations stream with those of the captured layers, valid until the next run.
  public func record(_ tokens: TokenBatch, layers: [Int]) -> OutputRecord {
    var record = OutputRecord()
    tokens.add(to: &record)
    if let losses { record.add("loss", losses) }
    let shape = [tokens.tokenCount, model.configuration.hiddenSize]
    for layer in layers {
      record.add("resid_mid.\(layer)", borrowing: captured[layer]!.middle.values, shape: shape)
      record.add("mlp_out.\(layer)", borrowing: captured[layer]!.mlpOutput.values, shape: shape)
    }
    return record
  }
}
