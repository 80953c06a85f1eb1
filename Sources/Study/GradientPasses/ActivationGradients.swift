import Decoders
import SystemIO
import TensorOperations
import TensorStream

/// Gradients of the summed loss at places of the unmodified model, batch after batch.
public final class ActivationGradients: GradientPass {
  private let model: DecoderModel
  private let start: Place
  private let gradients: RecordedGradients
  /// Those at recorded positions, by place; of none where they are not wanted.
  private var activations: [Place: OutputTensor] = [:]
  /// The places whose activations are read from the stream.
  private let streamed: Set<Place>
  /// The stream behind the layer of `start`, where that is no more than the sum of what was captured there.
  private let sumPlace: Place?
  /// Totals over all batches so far; the loss in nats.
  public private(set) var loss = 0.0
  public private(set) var predictions = 0

  /// - Parameters:
  ///   - start: the captured place to go on from.
  ///   - places: whose gradients to record, none before `start`.
  ///   - captured: where activations are to be recorded beside the gradients, the places that the stream has.
  /// - Throws: `Failure` of kind malformed where the stream lacks an activation that none can be computed from.
  public init(
    model: DecoderModel, start: Place, places: PlaceList, withActivationsOf captured: PlaceList? = nil
  ) throws(Failure) {
    self.model = model
    self.start = start
    gradients = RecordedGradients(model: model, start: start, places: places)
    let wanted = Set(captured == nil ? [] : places.places)
    // Of the layer itself, what does not come after `start` alone.
    streamed = wanted.filter { $0 == start || (captured!.places.contains($0) && $0.layer == start.layer) }
    for place in wanted { activations[place] = OutputTensor(model.operations) }
    let isBehindMLP = DecoderModel.layers(from: start, of: model.description).lowerBound > start.layer
    sumPlace = isBehindMLP && !start.site.isStream ? Place(.residPost, start.layer) : nil
    let unknown = wanted.subtracting(streamed).filter { isBehindMLP && $0.layer == start.layer && $0 != sumPlace }
    if let place = unknown.min() {
      throw Failure(.malformed, "--with-activations: expected \(place) captured, too, found \(captured!)")
    }
  }

  public var neededPlaces: [Place] { streamed.union([start]).sorted() }

  public var passRows: Int { model.passRows(from: start) }

  public func records(_ group: SampleGroup) -> [OutputRecord] {
    let positions = RecordedPositions(group)
    for (place, kept) in activations {
      kept.turn()
      _ = kept.tensor.resize(positions.rows.count * model.description.width(of: place.site))
    }
    keepStreamed(group, positions)
    let losses = gradients.find(
      group, positions, from: GroupStarts(group, at: [start], model),
      keeping: activations.filter { !streamed.contains($0.key) && $0.key != sumPlace }.mapValues(\.tensor))
    loss += losses.reduce(0, +)
    predictions += group.tokens.predictions.reduce(0) { $0 + Int($1) }

    return group.records.map { source in
      var record = OutputRecord()
      positions.description(of: source.samples, loss: losses).add(to: &record)
      for place in gradients.places {
        record.add(
          PlaceValue.gradient.name(place), gradients.at(place), positions.range(of: source.samples),
          columns: model.description.width(of: place.site))
        guard let activation = activations[place] else { continue }
        record.add(
          PlaceValue.activation.name(place), activation.tensor, positions.range(of: source.samples),
          columns: model.description.width(of: place.site))
      }
      return record
    }
  }

  /// Keeps the activations that no pass shows: those of the stream, and their sum with what is beside them.
  private func keepStreamed(_ group: SampleGroup, _ positions: RecordedPositions) {
    for (place, kept) in activations where streamed.contains(place) || place == sumPlace {
      let columns = model.description.width(of: place.site)
      let source = place == sumPlace ? start : place
      let (activation, rest) = (group.activation(source), group.rest(source))
      let values = kept.tensor.mutableValues.baseAddress!
      for (index, row) in positions.rows.enumerated() {
        (values + index * columns).update(from: activation + row * columns, count: columns)
        guard place == sumPlace else { continue }
        for i in 0..<columns { values[index * columns + i] += rest![row * columns + i] }
      }
    }
  }
}
