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
  private let operations: any TensorOperations
  private let options: Options
  /// In the model's order.
  private let places: [RebuiltPlace]
  /// A pass's activations with the recorded ones rebuilt.
  private let replaced: ReusedTensor

  /// - Parameter autoencoders: by place; the model must have the layers from the lowest of them on, and its head, and run
  ///   on the same device or in Double.
  public init(model: DecoderModel, autoencoders: [Place: AutoencoderOperations], options: Options) {
    self.model = model
    self.options = options
    let widths = autoencoders.keys.map { model.description.width(of: $0.site) }
    passRows = model.passRows(
      from: autoencoders.keys.min()!, with: autoencoders.values,
      otherBytes: 2 * widths.max()! * MemoryLayout<Float>.stride)
    let operations = autoencoders.values.first!.operations
    let scaled = ReusedTensor(operations)
    places = autoencoders.sorted { $0.key < $1.key }.map { place, autoencoder in
      RebuiltPlace(place, autoencoder, width: model.description.width(of: place.site), scaled: scaled)
    }
    precondition(places.allSatisfy { $0.autoencoder.operations === operations })
    precondition(operations === model.operations || model.arithmetic == .float64)
    self.operations = operations
    replaced = ReusedTensor(operations)
  }

  public let passRows: Int

  public var neededPlaces: [Place] { places.map(\.place) }

  public var reports: [Place: ReconstructionReport] {
    Dictionary(uniqueKeysWithValues: places.map { ($0.place, $0.report) })
  }

  public func records(_ group: SampleGroup) -> [OutputRecord] {
    let positions = RecordedPositions(group, stride: options.stride, scope: options.scope)
    for place in places { place.begin(positions: positions.rows.count, isDense: options.isDense) }
    let starts = GroupStarts(group, at: neededPlaces, model)
    var losses: [Double] = []
    var replacedLosses: [Place: [Double]] = [:]
    for input in group.passes {
      let recorded = positions.rowsInPass(of: input.sampleRange)
      if options.usesErrorTerm {
        losses += errorTermPass(input, of: group, starts, positions, recorded)
      } else {
        losses += unmodifiedLosses(input, of: group, starts)
        for place in places {
          replacedLosses[place.place, default: []] += replacedPass(
            place, input, of: group, starts, positions, recorded)
        }
      }
    }
    for place in places { place.end() }
    operations.finishDownloads()
    let predictions = group.tokens.predictions.reduce(0) { $0 + Int($1) }
    for place in places {
      place.report(
        positions: positions.rows.count, predictions: predictions, loss: losses.reduce(0, +),
        replacedLoss: replacedLosses[place.place]?.reduce(0, +))
    }
    return group.records.map { output($0.samples, positions, losses, replacedLosses) }
  }

  /// One forward pass from `place` on with the recorded positions rebuilt, and back to it.
  private func replacedPass(
    _ place: RebuiltPlace, _ input: ModelInput, of group: SampleGroup, _ starts: GroupStarts,
    _ positions: RecordedPositions, _ recorded: [Int32]
  ) -> [Double] {
    let rows = group.rows(of: input.sampleRange)
    let activations = replaced.tensor(rows: rows.count, columns: place.width, capacity: passRows * place.width)
    operations.upload(activations, from: group.activation(place.place) + rows.lowerBound * place.width)
    place.rebuild(rows: recorded.count) { x, part in
      operations.gatherRows(x, from: activations, rows: Array(recorded[part]))
    } show: { part, rebuilt in
      operations.replaceRows(activations, rows: Array(recorded[part]), by: rebuilt)
    }
    let first = positions.range(of: input.sampleRange).lowerBound
    let replacement = DecoderModel.Start.Replacement(activations, rows: recorded) { row, values in
      place.rebuildInDouble(values, recorded: first + recorded.firstIndex(of: row)!)
    }
    let start = starts.start(at: place.place, input.sampleRange, replacement: replacement)
    return gradients(at: [place], input, from: start, positions, recorded)
  }

  /// One forward pass of the unmodified model and one way back for all places.
  private func errorTermPass(
    _ input: ModelInput, of group: SampleGroup, _ starts: GroupStarts, _ positions: RecordedPositions,
    _ recorded: [Int32]
  ) -> [Double] {
    let first = group.rows(of: input.sampleRange).lowerBound
    for place in places {
      place.rebuild(rows: recorded.count) { x, part in
        operations.upload(
          x, from: group.activation(place.place) + first * place.width, rows: Array(recorded[part]))
      }
    }
    return gradients(
      at: places, input, from: starts.start(at: places[0].place, input.sampleRange), positions, recorded)
  }

  /// Keeps the recorded rows' gradients at some places.
  private func gradients(
    at places: [RebuiltPlace], _ input: ModelInput, from start: DecoderModel.Start, _ positions: RecordedPositions,
    _ recorded: [Int32]
  ) -> [Double] {
    let byPlace = Dictionary(uniqueKeysWithValues: places.map { ($0.place, $0) })
    let range = positions.range(of: input.sampleRange)
    let losses = model.gradients(input, from: start, at: Set(byPlace.keys)) { place, gradient in
      byPlace[place]!.keep(gradient, rows: recorded, first: range.lowerBound)
    }
    guard options.isDense else { return losses }
    operations.finishDownloads()
    for place in places { place.makeDense(range) }
    return losses
  }

  /// The losses that qwen-capture found, else those of a forward pass.
  private func unmodifiedLosses(_ input: ModelInput, of group: SampleGroup, _ starts: GroupStarts) -> [Double] {
    if let losses = group.losses { return Array(losses[input.sampleRange]) }
    return model.losses(input, from: starts.start(at: places[0].place, input.sampleRange))
  }

  private func output(
    _ samples: Range<Int>, _ positions: RecordedPositions, _ losses: [Double], _ replacedLosses: [Place: [Double]]
  ) -> OutputRecord {
    var record = OutputRecord()
    positions.description(of: samples, loss: losses).add(to: &record)
    for rebuilt in places {
      let (place, features) = (rebuilt.place, rebuilt.autoencoder.autoencoder.features)
      let values = options.isDense ? rebuilt.featureGradients : rebuilt.gradients
      let columns = options.isDense ? features : rebuilt.width
      record.add(PlaceValue.gradient.name(place), values, positions.range(of: samples), columns: columns)
      let (offsets, indices, featureValues) = rebuilt.features.rows(positions.range(of: samples))
      record.add(PlaceValue.activeOffsets.name(place), offsets)
      record.add(PlaceValue.feature.name(place), Array(indices))
      record.add(PlaceValue.featureValue.name(place), Array(featureValues))
      if let losses = replacedLosses[place] { record.add(PlaceValue.loss.name(place), Array(losses[samples])) }
    }
    return record
  }

  /// The records that carry the decoders themselves, one at a time.
  public func basisRecords() -> some Sequence<OutputRecord> {
    places.lazy.map { rebuilt in
      let autoencoder = rebuilt.autoencoder
      var record = OutputRecord()
      record.add(
        PlaceValue.basis.name(rebuilt.place), autoencoder.basis(),
        shape: [autoencoder.autoencoder.features, autoencoder.autoencoder.width])
      return record
    }
  }
}
