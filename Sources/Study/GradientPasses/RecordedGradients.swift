import Decoders
import TensorOperations
import TensorStream

/// The gradients of the unmodified model's summed loss at the recorded positions of a group, by one forward and one
/// backward pass for all places.
final class RecordedGradients {
  private let model: DecoderModel
  private let start: Place
  /// In the model's order.
  let places: [Place]
  private var gradients: [Place: OutputTensor] = [:]

  /// - Parameters:
  ///   - start: the captured place to go on from.
  ///   - places: whose gradients to record, none before `start`.
  init(model: DecoderModel, start: Place, places: PlaceList) {
    self.model = model
    self.start = start
    self.places = places.places
    for place in places.places { gradients[place] = OutputTensor(model.operations) }
  }

  /// Those of the group that was found last, (P,W).
  func at(_ place: Place) -> HostTensor { gradients[place]!.tensor }

  /// - Parameters:
  ///   - starts: of the group, at `start`.
  ///   - activations: where to keep the activations of some places, as `DecoderModel.gradients` shows them, (P,W).
  /// - Returns: each sample's loss in nats.
  func find(
    _ group: SampleGroup, _ positions: RecordedPositions, from starts: GroupStarts,
    keeping activations: [Place: HostTensor] = [:]
  ) -> [Double] {
    for (place, gradient) in gradients {
      gradient.turn()
      _ = gradient.tensor.resize(positions.rows.count * model.description.width(of: place.site))
    }
    var losses: [Double] = []
    for input in group.passes {
      let recorded = positions.rowsInPass(of: input.sampleRange)
      let first = positions.range(of: input.sampleRange).lowerBound
      func memory(_ kept: HostTensor, _ columns: Int) -> UnsafeMutablePointer<Float> {
        kept.mutableValues.baseAddress! + first * columns
      }
      losses += model.gradients(
        input, from: starts.start(at: start, input.sampleRange), at: Set(places), showing: Set(activations.keys),
        show: { place, activation in
          model.operations.startDownload(
            memory(activations[place]!, activation.columns), from: activation, rows: recorded)
        },
        record: { place, gradient in
          gradient.startDownload(memory(at(place), gradient.columns), rows: recorded)
        })
    }
    model.operations.finishDownloads()
    return losses
  }
}
