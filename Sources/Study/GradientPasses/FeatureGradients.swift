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
  private var active: [Place: ActiveFeatures] = [:]
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
    passRows = model.passRows(from: self.autoencoders[0].place, with: autoencoders.values)
  }

  public let passRows: Int

  public var neededPlaces: [Place] { autoencoders.map(\.place) }

  public func records(_ group: SampleGroup) -> [OutputRecord] {
    let positions = RecordedPositions(group, stride: options.stride, scope: options.scope)
    for (place, autoencoder) in autoencoders {
      active[place] = ActiveFeatures()
      _ = gradients[place]!.resize(positions.rows.count * width(place))
      guard options.isDense else { continue }
      _ = featureGradients[place]!.resize(positions.rows.count * autoencoder.autoencoder.features)
    }
    var losses: [Double] = []
    var replacedLosses: [Place: [Double]] = [:]
    for input in group.passes {
      if options.usesErrorTerm {
        losses += errorTermPass(input, of: group, positions)
      } else {
        losses += unmodifiedLosses(input, of: group)
        for (place, autoencoder) in autoencoders {
          replacedLosses[place, default: []] += replacedPass(place, autoencoder, input, of: group, positions)
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
    return group.records.map { output($0.samples, positions, losses, replacedLosses) }
  }

  private func width(_ place: Place) -> Int { model.description.width(of: place.site) }

  /// One forward pass from `place` on with the recorded positions rebuilt, and back to it.
  private func replacedPass(
    _ place: Place, _ autoencoder: AutoencoderOperations, _ input: ModelInput, of group: SampleGroup,
    _ positions: RecordedPositions
  ) -> [Double] {
    let W = width(place)
    rebuild(place, autoencoder, input, of: group, positions)
    let rows = group.rows(of: input.sampleRange)
    let activations = replaced.resize(rows.count * W)
    activations.update(from: group.activation(place) + rows.lowerBound * W, count: rows.count * W)
    let recorded = positions.rowsInPass(of: input.sampleRange)
    for (index, row) in recorded.enumerated() {
      (activations + Int(row) * W).update(from: rebuilt.values.baseAddress! + index * W, count: W)
    }
    let start = group.start(at: place, input.sampleRange, replacement: activations, replaced: recorded)
    let losses = model.gradients(input, from: start, at: [place]) { keep($1, $0, input, positions) }
    finish(place, autoencoder, input, positions)
    return losses
  }

  /// One forward pass of the unmodified model and one way back for all places.
  private func errorTermPass(
    _ input: ModelInput, of group: SampleGroup, _ positions: RecordedPositions
  ) -> [Double] {
    let start = group.start(at: autoencoders[0].place, input.sampleRange)
    let losses = model.gradients(input, from: start, at: Set(neededPlaces)) { keep($1, $0, input, positions) }
    for (place, autoencoder) in autoencoders {
      rebuild(place, autoencoder, input, of: group, positions)
      finish(place, autoencoder, input, positions)
    }
    return losses
  }

  /// The losses that qwen-capture found, else those of a forward pass.
  private func unmodifiedLosses(_ input: ModelInput, of group: SampleGroup) -> [Double] {
    if let losses = group.losses { return Array(losses[input.sampleRange]) }
    return model.losses(input, from: group.start(at: autoencoders[0].place, input.sampleRange))
  }

  /// Leaves the recorded positions' activations in `rows` and what the autoencoder makes of them in `rebuilt`, and adds
  /// their features to those of the passes before.
  private func rebuild(
    _ place: Place, _ autoencoder: AutoencoderOperations, _ input: ModelInput, of group: SampleGroup,
    _ positions: RecordedPositions
  ) {
    let W = width(place)
    let activations = group.activation(place)
    let kept = positions.rows[positions.range(of: input.sampleRange)]
    let recorded = rows.resize(kept.count * W)
    for (index, row) in kept.enumerated() {
      (recorded + index * W).update(from: activations + row * W, count: W)
    }
    let features = autoencoder.rebuild(rebuilt.resize(kept.count * W), from: recorded, rows: kept.count)
    reports[place]!.add(
      recorded, rebuilt: rebuilt.values.baseAddress!, rows: kept.count, width: W, active: features.count)
    active[place]!.append(features)
  }

  /// Keeps the recorded positions' gradients.
  private func keep(
    _ gradient: PlaceGradient, _ place: Place, _ input: ModelInput, _ positions: RecordedPositions
  ) {
    gradient.startDownload(
      kept(place, positions.range(of: input.sampleRange)), rows: positions.rowsInPass(of: input.sampleRange))
  }

  private func kept(_ place: Place, _ recorded: Range<Int>) -> UnsafeMutablePointer<Float> {
    gradients[place]!.mutableValues.baseAddress! + recorded.lowerBound * width(place)
  }

  /// Makes of what was kept what ⟨decoder_i, ·⟩ wants; `rows` holds what was rebuilt.
  private func finish(
    _ place: Place, _ autoencoder: AutoencoderOperations, _ input: ModelInput, _ positions: RecordedPositions
  ) {
    guard options.isDense || autoencoder.scalesGradients else { return }
    model.operations.finishDownloads()
    let recorded = positions.range(of: input.sampleRange)
    let kept = kept(place, recorded)
    autoencoder.scaleGradients(kept, of: rows.values.baseAddress!, rows: recorded.count)
    guard options.isDense else { return }
    let dense = featureGradients[place]!.mutableValues.baseAddress!
    autoencoder.featureGradients(
      dense + recorded.lowerBound * autoencoder.autoencoder.features, from: kept, rows: recorded.count)
  }

  private func output(
    _ samples: Range<Int>, _ positions: RecordedPositions, _ losses: [Double], _ replacedLosses: [Place: [Double]]
  ) -> OutputRecord {
    var record = OutputRecord()
    positions.description(of: samples, loss: losses).add(to: &record)
    for (place, autoencoder) in autoencoders {
      let values = options.isDense ? featureGradients[place]! : gradients[place]!
      let columns = options.isDense ? autoencoder.autoencoder.features : width(place)
      record.add(PlaceValue.gradient.name(place), values, positions.range(of: samples), columns: columns)
      let (offsets, features, featureValues) = active[place]!.rows(positions.range(of: samples))
      record.add(PlaceValue.activeOffsets.name(place), offsets)
      record.add(PlaceValue.feature.name(place), Array(features))
      record.add(PlaceValue.featureValue.name(place), Array(featureValues))
      if let losses = replacedLosses[place] { record.add(PlaceValue.loss.name(place), Array(losses[samples])) }
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
