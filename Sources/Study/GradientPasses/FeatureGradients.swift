import Decoders
import SystemIO
import TensorOperations
import TensorStream

/// Gradients of the summed loss at what sparse autoencoders rebuild, batch after batch.
///
/// Without the error term every place has a forward pass of its own, from its rebuilt activation on: what comes before
/// never changes and was captured. With it the forward pass is the unmodified model's, and one way back serves all
/// places.
public final class FeatureGradients: GradientPass {
  public struct Options: Sendable {
    public var stride = 4
    public var scope = StrideScope.sample
    public var usesErrorTerm = false
    /// Writes every feature's gradient instead of what the decoder multiplies.
    public var isDense = false

    public init() {}
  }

  private let model: DecoderModel
  private let options: Options
  /// The places, in the model's order, and their autoencoders.
  private let autoencoders: [(place: Place, operations: AutoencoderOperations)]
  /// A pass's activations with the recorded ones rebuilt.
  private let replaced = HostTensor()
  /// A pass's recorded activations, and what the autoencoder makes of them.
  private let rows = HostTensor()
  private let rebuilt = HostTensor()
  /// Of all recorded positions of a group.
  private var gradients: [Place: HostTensor] = [:]
  private var featureGradients: [Place: HostTensor] = [:]
  public private(set) var reports: [Place: ReconstructionReport] = [:]

  /// - Parameter autoencoders: by place; the model must have the layers from the lowest of them on, and its head.
  public init(model: DecoderModel, autoencoders: [Place: AutoencoderOperations], options: Options) {
    self.model = model
    self.options = options
    self.autoencoders = autoencoders.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
    for place in autoencoders.keys {
      gradients[place] = HostTensor()
      featureGradients[place] = HostTensor()
      reports[place] = ReconstructionReport()
    }
    let memories = autoencoders.values.map(\.memory)
    passRows = model.passRows(from: self.autoencoders[0].place, otherBytes: memories.map(\.bytesPerRow).max()!)
    for memory in memories { memory.use(passRows: passRows) }
  }

  public let passRows: Int

  public var neededPlaces: [Place] { autoencoders.map(\.place) }

  public func records(_ group: SampleGroup) -> [OutputRecord] {
    let positions = RecordedPositions(group, stride: options.stride, scope: options.scope)
    for (place, autoencoder) in autoencoders {
      _ = gradients[place]!.resize(positions.rows.count * width(place))
      guard options.isDense else { continue }
      _ = featureGradients[place]!.resize(positions.rows.count * autoencoder.autoencoder.features)
    }
    var losses: [Double] = []
    var replacedLosses: [Place: [Double]] = [:]
    for samples in group.passes {
      let part = Part(
        group: group, samples: samples, batch: Batch(group.tokens, samples: samples), positions: positions,
        recordedRows: positions.rows(of: samples, in: group))
      if options.usesErrorTerm {
        losses += errorTermPass(part)
      } else {
        losses += unmodifiedLosses(part)
        for (place, autoencoder) in autoencoders {
          replacedLosses[place, default: []] += replacedPass(place, autoencoder, part)
        }
      }
    }
    model.operations.finishDownloads()
    for (place, _) in autoencoders {
      reports[place]!.predictions += group.tokens.predictions.reduce(0) { $0 + Int($1) }
      reports[place]!.loss = (reports[place]!.loss ?? 0) + losses.reduce(0, +)
      if let replaced = replacedLosses[place] {
        reports[place]!.replacedLoss = (reports[place]!.replacedLoss ?? 0) + replaced.reduce(0, +)
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

  private func width(_ place: Place) -> Int { model.description.width(of: place.site) }

  /// One forward pass from `place` on with the recorded positions rebuilt, and back to it.
  private func replacedPass(_ place: Place, _ autoencoder: AutoencoderOperations, _ part: Part) -> [Double] {
    let W = width(place)
    rebuild(place, autoencoder, part)
    let activations = replaced.resize(part.rows.count * W)
    activations.update(from: part.group.activation(place) + part.rows.lowerBound * W, count: part.rows.count * W)
    for (index, row) in part.recordedRows.enumerated() {
      (activations + Int(row) * W).update(from: rebuilt.values.baseAddress! + index * W, count: W)
    }
    let start = part.group.start(at: place, part.samples, replacement: activations)
    return model.gradients(part.batch, from: start, at: [place]) { keep($1, $0, autoencoder, part) }
  }

  /// One forward pass of the unmodified model and one way back for all places.
  private func errorTermPass(_ part: Part) -> [Double] {
    let start = part.group.start(at: autoencoders[0].place, part.samples)
    return model.gradients(part.batch, from: start, at: Set(neededPlaces)) { place, gradient in
      let (_, autoencoder) = autoencoders.first { $0.place == place }!
      rebuild(place, autoencoder, part)
      keep(gradient, place, autoencoder, part)
    }
  }

  /// The losses that qwen-capture found, else those of a forward pass.
  private func unmodifiedLosses(_ part: Part) -> [Double] {
    if let losses = part.group.losses { return Array(losses[part.samples]) }
    return model.losses(part.batch, from: part.group.start(at: autoencoders[0].place, part.samples))
  }

  /// Leaves the recorded positions' activations in `rows` and what the autoencoder makes of them in `rebuilt`.
  private func rebuild(_ place: Place, _ autoencoder: AutoencoderOperations, _ part: Part) {
    let W = width(place)
    let activations = part.group.activation(place)
    let count = part.recorded.count
    let recorded = rows.resize(count * W)
    for (index, row) in part.positions.rows[part.recorded].enumerated() {
      (recorded + index * W).update(from: activations + row * W, count: W)
    }
    let features = autoencoder.rebuild(rebuilt.resize(count * W), from: recorded, rows: count)
    reports[place]!.add(recorded, rebuilt: rebuilt.values.baseAddress!, rows: count, width: W, active: features.count)
  }

  /// Keeps the recorded positions' gradients as ⟨decoder_i, ·⟩ wants them; `rows` holds what was rebuilt.
  private func keep(_ gradient: Tensor, _ place: Place, _ autoencoder: AutoencoderOperations, _ part: Part) {
    let kept = gradients[place]!.mutableValues.baseAddress! + part.recorded.lowerBound * gradient.columns
    model.operations.startDownload(kept, from: gradient, rows: part.recordedRows)
    guard options.isDense || autoencoder.scalesGradients else { return }
    model.operations.finishDownloads()
    autoencoder.scaleGradients(kept, of: rows.values.baseAddress!, rows: part.recorded.count)
    guard options.isDense else { return }
    let dense = featureGradients[place]!.mutableValues.baseAddress!
    autoencoder.featureGradients(
      dense + part.recorded.lowerBound * autoencoder.autoencoder.features, from: kept, rows: part.recorded.count)
  }

  private func output(
    _ member: SampleGroup.Member, _ positions: RecordedPositions, _ losses: [Double],
    _ replacedLosses: [Place: [Double]]
  ) -> OutputRecord {
    var record = OutputRecord()
    positions.description(of: member, loss: losses).add(to: &record)
    for (place, autoencoder) in autoencoders {
      let values = options.isDense ? featureGradients[place]! : gradients[place]!
      let columns = options.isDense ? autoencoder.autoencoder.features : width(place)
      record.add(PlaceValue.gradient.name(place), values, positions.range(of: member.samples), columns: columns)
      if let losses = replacedLosses[place] { record.add(PlaceValue.loss.name(place), Array(losses[member.samples])) }
    }
    return record
  }

  /// The records that carry the decoders themselves, one at a time.
  public func basisRecords() -> some Sequence<OutputRecord> {
    autoencoders.lazy.map { place, autoencoder in
      var record = OutputRecord()
      record.add(
        PlaceValue.basis.name(place), autoencoder.basis(),
        shape: [autoencoder.autoencoder.features, autoencoder.autoencoder.width])
      return record
    }
  }
}
