import QwenModel
import SystemIO
import TensorOperations
import TensorStream

/// Gradients of the summed loss at what sparse autoencoders rebuild, batch after batch.
///
/// Without the error term every layer has a forward pass of its own, from its rebuilt output upwards: what lies below
/// never changes and comes from the captured activations. With it the forward pass is the unmodified model's, and one
/// way back serves all layers.
public final class FeatureGradients {
  public struct Options: Sendable {
    public var stride = 4
    public var scope = StrideScope.sample
    public var usesErrorTerm = false
    /// Writes every feature's gradient instead of what the decoder multiplies.
    public var isDense = false

    public init() {}
  }

  private let model: QwenModel
  private let options: Options
  /// The layers, ascending, and their autoencoders.
  private let autoencoders: [(layer: Int, operations: AutoencoderOperations)]
  private let residual = HostTensor()
  /// A pass's recorded MLP outputs, and what the autoencoder makes of them.
  private let rows = HostTensor()
  private let rebuilt = HostTensor()
  /// Of all recorded positions of a group.
  private var gradients: [Int: HostTensor] = [:]
  private var featureGradients: [Int: HostTensor] = [:]
  public private(set) var reports: [Int: ReconstructionReport] = [:]

  /// - Parameter autoencoders: by layer; the model must have the layers above the lowest of them, and its head.
  public init(model: QwenModel, autoencoders: [Int: AutoencoderOperations], options: Options) {
    self.model = model
    self.options = options
    self.autoencoders = autoencoders.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    for layer in autoencoders.keys {
      gradients[layer] = HostTensor()
      featureGradients[layer] = HostTensor()
      reports[layer] = ReconstructionReport()
    }
    let memories = autoencoders.values.map(\.memory)
    passRows = model.passRows(
      keptLayers: model.configuration.layerCount - 1 - self.autoencoders[0].layer,
      otherBytes: memories.map(\.bytesPerRow).max()!)
    for memory in memories { memory.use(passRows: passRows) }
  }

  /// Rows of samples that a pass has at most, where samples are that short.
  public let passRows: Int

  /// The tensors that every record must bring.
  public var neededTensors: [String] { autoencoders.flatMap { SampleGroup.residualTensors($0.layer) } }

  /// The gradients record of each of the group's members, valid until the next call.
  public func records(_ group: SampleGroup) -> [OutputRecord] {
    let positions = RecordedPositions(group, stride: options.stride, scope: options.scope)
    for (layer, autoencoder) in autoencoders {
      _ = gradients[layer]!.resize(positions.rows.count * model.configuration.hiddenSize)
      guard options.isDense else { continue }
      _ = featureGradients[layer]!.resize(positions.rows.count * autoencoder.autoencoder.features)
    }
    var losses: [Double] = []
    var replacedLosses: [Int: [Double]] = [:]
    for samples in group.passes {
      let part = Part(
        group: group, samples: samples, batch: Batch(group.tokens, samples: samples), positions: positions,
        recordedRows: positions.rows(of: samples, in: group))
      if options.usesErrorTerm {
        losses += errorTermPass(part)
      } else {
        losses += unmodifiedLosses(part)
        for (layer, autoencoder) in autoencoders {
          replacedLosses[layer, default: []] += replacedPass(layer, autoencoder, part)
        }
      }
    }
    model.operations.finishDownloads()
    for (layer, _) in autoencoders {
      reports[layer]!.predictions += group.tokens.predictions.reduce(0) { $0 + Int($1) }
      reports[layer]!.loss = (reports[layer]!.loss ?? 0) + losses.reduce(0, +)
      if let replaced = replacedLosses[layer] {
        reports[layer]!.replacedLoss = (reports[layer]!.replacedLoss ?? 0) + replaced.reduce(0, +)
      }
    }
    return group.members.map { output($0, positions, losses, replacedLosses) }
  }

  /// The samples of one pass.
  private struct Part {
    let group: SampleGroup
    let samples: Range<Int>
    let batch: Batch
    /// Of the whole group.
    let positions: RecordedPositions
    /// Of the pass.
    let recordedRows: [Int32]

    var rows: Range<Int> { group.rows(of: samples) }
    /// The recorded ones among the group's recorded positions.
    var recorded: Range<Int> { positions.range(of: samples) }
  }

  /// One forward pass from layer `layer` upwards with the recorded positions rebuilt, and back to it.
  private func replacedPass(_ layer: Int, _ autoencoder: AutoencoderOperations, _ part: Part) -> [Double] {
    let D = model.configuration.hiddenSize
    rebuild(layer, autoencoder, part)
    part.group.sumResidual(after: layer, rows: part.rows, width: D, in: residual)
    let middle = part.group.tensor("resid_mid.\(layer)")
    for (index, row) in part.positions.rows[part.recorded].enumerated() {
      let sum = residual.mutableValues.baseAddress! + (row - part.rows.lowerBound) * D
      for i in 0..<D { sum[i] = middle[row * D + i] + rebuilt.values[index * D + i] }
    }
    return model.gradients(part.batch, after: layer, residual: residual.values.baseAddress!, downTo: layer) {
      keep($1, layer, autoencoder, part)
    }
  }

  /// One forward pass of the unmodified model and one way back for all layers.
  private func errorTermPass(_ part: Part) -> [Double] {
    let (start, _) = autoencoders[0]
    part.group.sumResidual(after: start, rows: part.rows, width: model.configuration.hiddenSize, in: residual)
    return model.gradients(part.batch, after: start, residual: residual.values.baseAddress!, downTo: start) {
      layer, gradient in
      guard let (_, autoencoder) = autoencoders.first(where: { $0.layer == layer }) else { return }
      rebuild(layer, autoencoder, part)
      keep(gradient, layer, autoencoder, part)
    }
  }

  /// The losses that qwen-capture found, else those of a forward pass.
  private func unmodifiedLosses(_ part: Part) -> [Double] {
    if let losses = part.group.losses { return Array(losses[part.samples]) }
    let (start, _) = autoencoders[0]
    part.group.sumResidual(after: start, rows: part.rows, width: model.configuration.hiddenSize, in: residual)
    return model.losses(part.batch, after: start, residual: residual.values.baseAddress!)
  }

  /// Leaves the recorded positions' MLP outputs in `rows` and what the autoencoder makes of them in `rebuilt`.
  private func rebuild(_ layer: Int, _ autoencoder: AutoencoderOperations, _ part: Part) {
    let D = model.configuration.hiddenSize
    let mlpOutput = part.group.tensor("mlp_out.\(layer)")
    let count = part.recorded.count
    let recorded = rows.resize(count * D)
    for (index, row) in part.positions.rows[part.recorded].enumerated() {
      (recorded + index * D).update(from: mlpOutput + row * D, count: D)
    }
    let features = autoencoder.rebuild(rebuilt.resize(count * D), from: recorded, rows: count)
    reports[layer]!.add(recorded, rebuilt: rebuilt.values.baseAddress!, rows: count, width: D, active: features.count)
  }

  /// Keeps the recorded positions' gradients as ⟨decoder_i, ·⟩ wants them; `rows` holds what was rebuilt.
  private func keep(_ gradient: Tensor, _ layer: Int, _ autoencoder: AutoencoderOperations, _ part: Part) {
    let kept = gradients[layer]!.mutableValues.baseAddress! + part.recorded.lowerBound * gradient.columns
    model.operations.startDownload(kept, from: gradient, rows: part.recordedRows)
    guard options.isDense || autoencoder.scalesGradients else { return }
    model.operations.finishDownloads()
    autoencoder.scaleGradients(kept, of: rows.values.baseAddress!, rows: part.recorded.count)
    guard options.isDense else { return }
    let dense = featureGradients[layer]!.mutableValues.baseAddress!
    autoencoder.featureGradients(
      dense + part.recorded.lowerBound * autoencoder.autoencoder.features, from: kept, rows: part.recorded.count)
  }

  private func output(
    _ member: SampleGroup.Member, _ positions: RecordedPositions, _ losses: [Double], _ replacedLosses: [Int: [Double]]
  ) -> OutputRecord {
    var record = OutputRecord()
    positions.description(of: member, loss: losses).add(to: &record)
    for (layer, autoencoder) in autoencoders {
      let values = options.isDense ? featureGradients[layer]! : gradients[layer]!
      let columns = options.isDense ? autoencoder.autoencoder.features : model.configuration.hiddenSize
      record.add("grad.\(layer)", values, positions.range(of: member.samples), columns: columns)
      if let losses = replacedLosses[layer] { record.add("loss.\(layer)", Array(losses[member.samples])) }
    }
    return record
  }

  /// The records that carry the decoders themselves, one at a time.
  public func basisRecords() -> some Sequence<OutputRecord> {
    autoencoders.lazy.map { layer, autoencoder in
      var record = OutputRecord()
      record.add(
        "basis.\(layer)", autoencoder.basis(),
        shape: [autoencoder.autoencoder.features, autoencoder.autoencoder.width])
      return record
    }
  }
}
