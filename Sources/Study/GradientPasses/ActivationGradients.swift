import Decoders
import TensorOperations
import TensorStream

/// Gradients of the summed loss at places of the unmodified model, batch after batch.
public final class ActivationGradients: GradientPass {
  private let model: DecoderModel
  private let start: Place
  private let gradients: RecordedGradients
  /// Totals over all batches so far; the loss in nats.
  public private(set) var loss = 0.0
  public private(set) var predictions = 0

  /// - Parameters:
  ///   - start: the captured place to go on from.
  ///   - places: whose gradients to record, none before `start`.
  public init(model: DecoderModel, start: Place, places: PlaceList) {
    self.model = model
    self.start = start
    gradients = RecordedGradients(model: model, start: start, places: places)
  }

  public var neededPlaces: [Place] { [start] }

  public var passRows: Int { model.passRows(from: start) }

  public func records(_ group: SampleGroup) -> [OutputRecord] {
    let positions = RecordedPositions(group)
    let losses = gradients.find(group, positions)
    loss += losses.reduce(0, +)
    predictions += group.tokens.predictions.reduce(0) { $0 + Int($1) }

    return group.records.map { source in
      var record = OutputRecord()
      positions.description(of: source.samples, loss: losses).add(to: &record)
      for place in gradients.places {
        record.add(
          PlaceValue.gradient.name(place), gradients.at(place), positions.range(of: source.samples),
          columns: model.description.width(of: place.site))
      }
      return record
    }
  }
}
