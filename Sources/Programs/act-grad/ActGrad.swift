import ArgumentParser
import Decoders
import FilterSupport
import GradientPasses
import SystemIO
import TensorStream

@main
struct ActGrad: Filter {
  static let configuration = CommandConfiguration(
    commandName: "act-grad",
    abstract: "Gradients of the next-token loss with respect to activations, such as every layer's MLP output.",
    discussion: """
      Reads an activations stream, writes a gradients stream: grad.PLACE, the gradient of the summed loss at a place \
      such as mlp_out.3, for every real position. One forward and one backward pass serve all places, and only the \
      lowest one needs to be captured.

      With --with-activations act.PLACE has the activations at the same positions, which grad-aggregate --quantity \
      attribution multiplies with the gradients.

      With --sums the gradients are summed here, and only the sums are written: grad-aggregate makes the same of them \
      as of the gradients, to the last digit, without all of these going through a pipe.

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt |
              qwen-capture --model demo/model --layers 0 |
              act-grad --model demo/model | grad-aggregate --save out > out.ts
            wt-tokenize --tokenizer demo/model demo/sample.txt |
              qwen-capture --model demo/model --layers 0 |
              act-grad --model demo/model --sums --mode both > sums.ts
            grad-aggregate --save out sums.ts > out.ts
      """,
    version: packageVersion)

  @Option(help: "The model that the activations were captured from: a folder or a hub id.", completion: .file())
  var model: String

  @OptionGroup var placeOptions: PlaceOptions
  @Flag(help: "Write the activations themselves beside the gradients, for attributions.")
  var withActivations = false

  @OptionGroup var sums: SumsOptions
  @OptionGroup var compute: ComputeOptions
  @OptionGroup var arithmetic: ArithmeticOptions
  @OptionGroup var messages: MessageOptions

  func filter() throws {
    var loaded: (start: Place, model: DecoderModel)?
    try writeGradients(of: model, sums, compute, messages) { checkpoint, captured, operations in
      let (start, places) = try choose(captured, checkpoint.description)
      if loaded?.start != start {
        let layers = DecoderModel.layers(from: start, of: checkpoint.description)
        loaded = (
          start,
          try DecoderModel(
            checkpoint, layers: layers, includingHead: true, arithmetic: arithmetic.arithmetic, operations: operations)
        )
      }
      let pass = try ActivationGradients(
        model: loaded!.model, start: start, places: places,
        withActivationsOf: withActivations || sums.needsActivations ? captured : nil)
      return GradientSegment(
        pass, of: loaded!.model,
        provenance: ["unit": "activation", "places": places.description].merging(arithmetic.provenance) { $1 }
      ) {
        let loss = pass.loss / Double(max(pass.predictions, 1))
        return .init(
          [.loss(natsPerToken: loss, predictions: pass.predictions)],
          closing: ", loss \(decimal(loss, 4)) nats a token\(loaded!.model.noteOnDouble)")
      }
    }
  }

  /// The places whose gradients are wanted, and the captured one to go on from.
  private func choose(
    _ captured: PlaceList, _ description: DecoderDescription
  ) throws -> (start: Place, places: PlaceList) {
    let lowest = captured.places[0]
    let all = PlaceList(sites: placeOptions.sites, layers: lowest.layer..<description.layerCount)
    let asked = try placeOptions.places(of: description)
    let places = asked ?? PlaceList(all.places.filter { $0 >= lowest })
    guard let first = places.places.first, let start = captured.places.last(where: { $0 <= first }) else {
      throw Failure(
        .malformed, "expected \(places.places.first ?? all.places[0]) or a place before it captured, found \(captured)")
    }
    return (start, places)
  }
}
