import ArgumentParser
import Decoders
import FilterSupport
import GradientPasses
import SystemIO
import TensorStream

@main
struct ActGrad: Filter {
  static let takesFiles = false

  static let configuration = CommandConfiguration(
    commandName: "act-grad",
    abstract: """
      Compute gradients of the next-token loss with respect to activations, such as every layer's MLP output.
      """,
    discussion: """
      Reads an activations stream and writes a gradients stream, with the gradient of the summed loss at each place, \
      such as grad.mlp_out.3, at every position. One forward and one backward pass yield the gradients at all places, \
      so only the lowest place has to be captured.

      With --with-activations the stream also contains the activations, as act.mlp_out.3. grad-aggregate --quantity \
      attribution needs them.

      With --sums the gradients are summed at once and only the sums are written. grad-aggregate makes the same \
      averages of them, to the last digit, and far less data passes through the pipe.

      \(exampleFiles)

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
  @Flag(help: "Also write the activations, which attributions need.")
  var withActivations = false

  @OptionGroup var sums: SumsOptions
  @OptionGroup var compute: ComputeOptions
  @OptionGroup var arithmetic: ArithmeticOptions
  @OptionGroup var messages: MessageOptions

  func filter() throws {
    let compute = try arithmetic.devices(compute)
    var loaded: (start: Place, model: DecoderModel)?
    try writeGradients(of: model, sums, compute, messages) { checkpoint, captured, operations in
      let (start, places) = try choose(captured, checkpoint.description)
      if loaded?.start != start {
        let layers = DecoderModel.layers(from: start, of: checkpoint.description)
        loaded = (
          start,
          try DecoderModel(
            checkpoint, layers: layers, includingHead: true, arithmetic: arithmetic.arithmetic,
            operations: arithmetic.modelOperations(operations, compute))
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
          closing: ", loss \(decimal(loss, 4)) nats per prediction\(loaded!.model.noteOnDouble)")
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
