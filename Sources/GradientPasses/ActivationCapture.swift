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

  /// Rows of samples that a pass has at most, where samples are that short.
  public var passRows: Int { model.passRows(keptLayers: 1) }

  /// Runs the layers that are needed over a group.
  public func run(_ group: SampleGroup) throws {
    let count = group.tokens.tokenCount * model.configuration.hiddenSize
    for (middle, mlpOutput) in captured.values { (_, _) = (middle.resize(count), mlpOutput.resize(count)) }
    losses = computesLoss ? [] : nil
    for samples in group.passes {
      let batch = Batch(group.tokens, samples: samples)
      let first = group.rows(of: samples).lowerBound * model.configuration.hiddenSize
      let keep = { [self] (layer: Int, middle: Tensor, mlpOutput: Tensor) in
        guard let captured = captured[layer] else { return }
        for (kept, tensor) in [(captured.middle, middle), (captured.mlpOutput, mlpOutput)] {
          model.operations.startDownload(kept.mutableValues.baseAddress! + first, from: tensor, rows: nil)
        }
      }
      if computesLoss {
        losses! += try model.losses(batch, capture: keep)
      } else {
        try model.forward(batch, through: layers.last!, capture: keep)
      }
    }
    model.operations.finishDownloads()
  }

  /// A member's record of an activations stream with those of the captured layers, valid until the next run.
  public func record(of member: SampleGroup.Member, in group: SampleGroup, layers: [Int]) -> OutputRecord {
    var record = OutputRecord()
    member.tokens.add(to: &record)
    if let losses { record.add("loss", Array(losses[member.samples])) }
    let rows = group.rows(of: member.samples)
    for layer in layers {
      record.add("resid_mid.\(layer)", captured[layer]!.middle, rows, columns: model.configuration.hiddenSize)
      record.add("mlp_out.\(layer)", captured[layer]!.mlpOutput, rows, columns: model.configuration.hiddenSize)
    }
    return record
  }
}
