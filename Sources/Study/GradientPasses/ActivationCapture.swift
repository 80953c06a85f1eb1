import Decoders
import TensorOperations
import TensorStream

/// Collects the activations of a forward pass over one batch after another, in memory that is reused.
public final class ActivationCapture {
  private let model: DecoderModel
  private let places: Set<Place>
  private let computesLoss: Bool
  /// Each sample's loss in nats, where it is computed.
  private var losses: [Double]?
  /// Totals over all groups so far; the loss in nats, where it is computed.
  public private(set) var loss: Double?
  public private(set) var predictions = 0
  /// By place what is there and, unless it is the residual stream itself, what the stream is without it.
  private var captured: [Place: (activation: OutputTensor, rest: OutputTensor?)] = [:]

  /// - Parameters:
  ///   - places: what to capture; the model must have all layers up to the last of them.
  ///   - computesLoss: whether all layers are run and the output head too; the model must have them.
  public init(model: DecoderModel, places: PlaceList, computesLoss: Bool = false) {
    self.model = model
    self.places = Set(places.places)
    self.computesLoss = computesLoss
    for place in places.places {
      captured[place] = (OutputTensor(model.operations), place.site.isStream ? nil : OutputTensor(model.operations))
    }
  }

  /// Rows of samples that a pass has at most, where samples are that short. A GPU takes more at a time, hardly faster:
  /// whoever reads the stream waits for the first ones.
  public var passRows: Int { min(model.passRows(from: nil), 2048) }

  /// Runs the layers that are needed over a group.
  public func run(_ group: SampleGroup) throws {
    let (N, D) = (group.tokens.tokenCount, model.description.width)
    for (place, (activation, rest)) in captured {
      activation.turn()
      rest?.turn()
      _ = activation.tensor.resize(N * model.description.width(of: place.site))
      _ = rest?.tensor.resize(N * D)
    }
    losses = computesLoss ? [] : nil
    for input in group.passes {
      let first = group.rows(of: input.sampleRange).lowerBound
      let keep = { [self] (place: Place, activation: Tensor, rest: Tensor?) in
        let kept = captured[place]!
        for (kept, tensor) in [(kept.activation, activation), (kept.rest, rest)] {
          guard let kept, let tensor else { continue }
          model.operations.startDownload(
            kept.tensor.mutableValues.baseAddress! + first * tensor.columns, from: tensor, rows: nil)
        }
      }
      if computesLoss {
        losses! += try model.losses(input, capturing: places, show: keep)
      } else {
        try model.capture(input, at: places, show: keep)
      }
    }
    model.operations.finishDownloads()
    if let losses { loss = (loss ?? 0) + losses.reduce(0, +) }
    predictions += group.tokens.predictions.reduce(0) { $0 + Int($1) }
  }

  /// The group's records of an activations stream with those places, valid as long as an `OutputTensor` keeps them.
  public func records(_ group: SampleGroup, places: PlaceList) -> [OutputRecord] {
    group.records.map { _, tokens, samples in
      var record = OutputRecord()
      tokens.add(to: &record)
      if let losses { record.add("loss", Array(losses[samples])) }
      let rows = group.rows(of: samples)
      for place in places.places {
        let (activation, rest) = captured[place]!
        record.add(
          PlaceValue.activation.name(place), activation.tensor, rows, columns: model.description.width(of: place.site))
        if let rest { record.add(PlaceValue.rest.name(place), rest.tensor, rows, columns: model.description.width) }
      }
      return record
    }
  }
}
