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

  /// Rows of samples that a pass has at most, where samples are that short.
  public var passRows: Int { model.passRows(keptLayers: model.configuration.layerCount - 1 - start) }

  /// The tensors that every record must bring.
  public var neededTensors: [String] { SampleGroup.residualTensors(start) }

  /// The gradients record of each of the group's members, valid until the next call.
  public func records(_ group: SampleGroup) -> [OutputRecord] {
    let D = model.configuration.hiddenSize
    let positions = RecordedPositions(group)
    for layer in layers { _ = gradients[layer]!.resize(positions.rows.count * D) }
    var losses: [Double] = []
    for samples in group.passes {
      let rows = group.rows(of: samples)
      let recorded = positions.rows(of: samples, in: group)
      group.sumResidual(after: start, rows: rows, width: D, in: residual)
      losses += model.gradients(
        Batch(group.tokens, samples: samples), after: start, residual: residual.values.baseAddress!, downTo: layers[0]
      ) { layer, gradient in
        guard let kept = gradients[layer] else { return }
        model.operations.startDownload(
          kept.mutableValues.baseAddress! + positions.range(of: samples).lowerBound * D, from: gradient, rows: recorded)
      }
    }
    model.operations.finishDownloads()
    loss += losses.reduce(0, +)
    predictions += group.tokens.predictions.reduce(0) { $0 + Int($1) }

    return group.members.map { member in
      var record = OutputRecord()
      positions.description(of: member, loss: losses).add(to: &record)
      for layer in layers {
        record.add("grad.\(layer)", gradients[layer]!, positions.range(of: member.samples), columns: D)
      }
      return record
    }
  }
}

extension SampleGroup {
  /// What `sumResidual` adds up.
  static func residualTensors(_ layer: Int) -> [String] { ["resid_mid.\(layer)", "mlp_out.\(layer)"] }

  func rows(of samples: Range<Int>) -> Range<Int> {
    Int(tokens.cuSeqlens[samples.lowerBound])..<Int(tokens.cuSeqlens[samples.upperBound])
  }

  /// Adds up the residual stream behind a captured layer, (rows, width).
  func sumResidual(after layer: Int, rows: Range<Int>, width: Int, in sum: HostTensor) {
    let (middle, mlpOutput) = (tensor("resid_mid.\(layer)"), tensor("mlp_out.\(layer)"))
    let sum = sum.resize(rows.count * width)
    let first = rows.lowerBound * width
    for i in 0..<rows.count * width { sum[i] = middle[first + i] + mlpOutput[first + i] }
  }
}
