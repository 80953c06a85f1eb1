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
  private let rows = HostTensor()
  private let rebuilt = HostTensor()
  private let allRows = HostTensor()
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
  }

  /// The gradients record of an activations record, valid until the next call.
  public func record(_ activations: Record, _ tokens: TokenBatch) throws -> OutputRecord {
    let batch = try activations.locating { try Batch(tokens, model.configuration) }
    let positions = RecordedPositions(tokens, stride: options.stride, scope: options.scope)
    var replacedLosses: [Int: [Double]] = [:]
    let losses: [Double]
    if options.usesErrorTerm {
      losses = try errorTermPass(activations, tokens, batch, positions)
    } else {
      losses = try unmodifiedLosses(activations, tokens, batch)
      for (layer, autoencoder) in autoencoders {
        replacedLosses[layer] = try replacedPass(layer, autoencoder, activations, tokens, batch, positions)
      }
    }
    for (layer, _) in autoencoders {
      reports[layer]!.predictions += tokens.predictions.reduce(0) { $0 + Int($1) }
      reports[layer]!.loss = (reports[layer]!.loss ?? 0) + losses.reduce(0, +)
      if let replaced = replacedLosses[layer] {
        reports[layer]!.replacedLoss = (reports[layer]!.replacedLoss ?? 0) + replaced.reduce(0, +)
      }
    }
    return output(positions, tokens, losses, replacedLosses)
  }

  /// One forward pass from layer `layer` upwards with the recorded positions rebuilt, and back to it.
  private func replacedPass(
    _ layer: Int, _ autoencoder: AutoencoderOperations, _ activations: Record, _ tokens: TokenBatch, _ batch: Batch,
    _ positions: RecordedPositions
  ) throws -> [Double] {
    let D = model.configuration.hiddenSize
    try rebuild(layer, autoencoder, activations, tokens, positions)
    try activations.sumResidual(after: layer, rows: tokens.tokenCount, width: D, in: residual)
    let middle = try activations.tensor("resid_mid.\(layer)", shape: [tokens.tokenCount, D], of: Float.self)
    let sum = residual.mutableValues
    for (index, row) in positions.rows.enumerated() {
      for i in 0..<D { sum[row * D + i] = middle[row * D + i] + rebuilt.values[index * D + i] }
    }
    return model.gradients(batch, after: layer, residual: residual.values.baseAddress!, downTo: layer) { _, gradient in
      keep(gradient, layer, autoencoder, positions)
    }
  }

  /// One forward pass of the unmodified model and one way back for all layers.
  private func errorTermPass(
    _ activations: Record, _ tokens: TokenBatch, _ batch: Batch, _ positions: RecordedPositions
  ) throws -> [Double] {
    let (start, _) = autoencoders[0]
    try activations.sumResidual(
      after: start, rows: tokens.tokenCount, width: model.configuration.hiddenSize, in: residual)
    return try model.gradients(batch, after: start, residual: residual.values.baseAddress!, downTo: start) {
      layer, gradient in
      guard let (_, autoencoder) = autoencoders.first(where: { $0.layer == layer }) else { return }
      try rebuild(layer, autoencoder, activations, tokens, positions)
      keep(gradient, layer, autoencoder, positions)
    }
  }

  /// The losses that qwen-capture found, else those of a forward pass.
  private func unmodifiedLosses(_ activations: Record, _ tokens: TokenBatch, _ batch: Batch) throws -> [Double] {
    if activations.has("loss") {
      return Array(try activations.tensor("loss", shape: [tokens.sampleCount], of: Double.self))
    }
    let (start, _) = autoencoders[0]
    try activations.sumResidual(
      after: start, rows: tokens.tokenCount, width: model.configuration.hiddenSize, in: residual)
    return model.losses(batch, after: start, residual: residual.values.baseAddress!)
  }

  /// Leaves the recorded positions' MLP outputs in `rows` and what the autoencoder makes of them in `rebuilt`.
  private func rebuild(
    _ layer: Int, _ autoencoder: AutoencoderOperations, _ activations: Record, _ tokens: TokenBatch,
    _ positions: RecordedPositions
  ) throws {
    let D = model.configuration.hiddenSize
    let mlpOutput = try activations.tensor("mlp_out.\(layer)", shape: [tokens.tokenCount, D], of: Float.self)
    positions.gather(mlpOutput.baseAddress!, columns: D, into: rows)
    let active = autoencoder.rebuild(
      rebuilt.resize(rows.count), from: rows.values.baseAddress!, rows: positions.rows.count)
    reports[layer]!.add(
      rows.values.baseAddress!, rebuilt: rebuilt.values.baseAddress!, rows: positions.rows.count, width: D,
      active: active)
  }

  /// Keeps the recorded positions' gradients as ⟨decoder_i, ·⟩ wants them; `rows` holds what was rebuilt.
  private func keep(
    _ gradient: Tensor, _ layer: Int, _ autoencoder: AutoencoderOperations, _ positions: RecordedPositions
  ) {
    let kept = gradients[layer]!
    model.operations.download(allRows.resize(gradient.count), from: gradient)
    positions.gather(allRows.values.baseAddress!, columns: gradient.columns, into: kept)
    autoencoder.scaleGradients(
      kept.mutableValues.baseAddress!, of: rows.values.baseAddress!, rows: positions.rows.count)
    guard options.isDense else { return }
    autoencoder.featureGradients(
      featureGradients[layer]!.resize(positions.rows.count * autoencoder.autoencoder.features),
      from: kept.values.baseAddress!, rows: positions.rows.count)
  }

  private func output(
    _ positions: RecordedPositions, _ tokens: TokenBatch, _ losses: [Double], _ replacedLosses: [Int: [Double]]
  ) -> OutputRecord {
    var record = OutputRecord()
    positions.description(of: tokens, loss: losses).add(to: &record)
    for (layer, autoencoder) in autoencoders {
      let values = options.isDense ? featureGradients[layer]!.values : gradients[layer]!.values
      let columns = options.isDense ? autoencoder.autoencoder.features : model.configuration.hiddenSize
      record.add("grad.\(layer)", borrowing: values, shape: [positions.rows.count, columns])
      if let losses = replacedLosses[layer] { record.add("loss.\(layer)", losses) }
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
