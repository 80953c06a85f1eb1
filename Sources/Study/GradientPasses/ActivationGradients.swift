import Decoders
import TensorOperations
import TensorStream

/// Gradients of the summed loss at places of the unmodified model, batch after batch.
public final class ActivationGradients: GradientPass {
  private let model: DecoderModel
  private let start: Place
  private let places: Set<Place>
  private var gradients: [Place: HostTensor] = [:]
  /// Totals over all batches so far; the loss in nats.
  public private(set) var loss = 0.0
  public private(set) var predictions = 0

  /// - Parameters:
  ///   - start: the captured place to go on from.
  ///   - places: whose gradients to record, none before `start`.
  public init(model: DecoderModel, start: Place, places: PlaceList) {
    self.model = model
    self.start = start
    self.places = Set(places.places)
    for place in places.places { gradients[place] = HostTensor() }
  }

  public var neededPlaces: [Place] { [start] }

  public var passRows: Int { model.passRows(from: start) }

  public func records(_ group: SampleGroup) -> [OutputRecord] {
    let positions = RecordedPositions(group)
    for (place, gradient) in gradients {
      _ = gradient.resize(positions.rows.count * model.description.width(of: place.site))
    }
    var losses: [Double] = []
    for input in group.passes {
      let recorded = positions.rowsInPass(of: input.sampleRange)
      let first = positions.range(of: input.sampleRange).lowerBound
      losses += model.gradients(input, from: group.start(at: start, input.sampleRange), at: places) {
        place, gradient in
        model.operations.startDownload(
          gradients[place]!.mutableValues.baseAddress! + first * gradient.columns, from: gradient, rows: recorded)
      }
    }
    model.operations.finishDownloads()
    loss += losses.reduce(0, +)
    predictions += group.tokens.predictions.reduce(0) { $0 + Int($1) }

    return group.records.map { source in
      var record = OutputRecord()
      positions.description(of: source.samples, loss: losses).add(to: &record)
      for place in places.sorted() {
        record.add(
          PlaceValue.gradient.name(place), gradients[place]!, positions.range(of: source.samples),
          columns: model.description.width(of: place.site))
      }
      return record
    }
  }
}
