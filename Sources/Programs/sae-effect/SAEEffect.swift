import ArgumentParser
import Decoders
import FilterSupport
import GradientPasses
import SparseAutoencoders
import SystemIO
import TensorOperations
import TensorStream

@main
struct SAEEffect: Filter {
  static let configuration = CommandConfiguration(
    commandName: "sae-effect",
    abstract: """
      Measure how much the loss changes when features are ablated, and compare it with what their attributions \
      predict.
      """,
    discussion: """
      Reads an activations stream and writes a line of JSON for each feature. effect: by how much the loss per \
      prediction rises, on average over samples, when the feature is set to 0 at every recorded position. predicted: \
      the change that its attributions predict to first order, −Σ a·g over these positions. Both have standard errors. \
      A line for each place follows, with the correlation of the two.

      For each feature, the samples in which it is active are run again from its place to the loss. Without --sae, \
      features are the dimensions of the activation.

      \(exampleFiles)

      e.g.  sae='demo/saes/mlp_out_layer_{layer}/trainer_0'
            wt-tokenize --tokenizer demo/model demo/sample.txt |
              qwen-capture --model demo/model --layers 2 > acts.ts
            sae-effect --model demo/model --sae "$sae" --features 2:17,2:300 \\
              --format text < acts.ts
            sae-effect --model demo/model --sae "$sae" --features 2:17 \\
              --random 3 < acts.ts > effects.jsonl
            sae-effect --model demo/model --ablate mean --features 2:5 acts.ts
      """,
    version: packageVersion)

  enum Ablation: String, CaseIterable, ExpressibleByArgument {
    case zero, mean
  }

  enum Format: String, CaseIterable, ExpressibleByArgument {
    case json, text
  }

  @Option(help: "The model that the activations were captured from: a folder or a hub id.", completion: .file())
  var model: String

  @OptionGroup var saes: AutoencoderOptions
  @OptionGroup var choice: FeatureChoiceOptions

  @Option(
    help: """
      Also ablate this many random features at each place, which are active about as often as the chosen ones.
      """)
  var random = 0

  @Option(help: "Seed of --random.")
  var seed: UInt64 = 0

  @Option(help: "Set features to zero, or to the mean of their values over the recorded positions.")
  var ablate = Ablation.zero

  @Option(
    help: """
      Ablate at every n-th position of each sample. (default: 4 with --sae, as in sae-grad; otherwise 1, as in \
      act-grad)
      """)
  var stride: Int?

  @Option(
    help: """
      Count positions for --stride from the start of each sample, or along the real tokens of the whole batch.
      """)
  var strideScope = StrideScope.sample

  @Option(
    help: ArgumentHelp(
      """
      The output of an earlier run. Its features are not ablated again, but count in the correlations of each \
      place.
      """,
      valueName: "path"), completion: .file())
  var skipFeatures: String?

  @Option(
    help: ArgumentHelp(
      """
      How many features to ablate in each read of the input, after which their effects are written. (default: 64 \
      for files, all for a pipe)
      """,
      valueName: "count"))
  var atATime: Int?

  @Option(help: "Print lines of JSON, or a table to read.")
  var format = Format.json

  @OptionGroup var compute: ComputeOptions
  @OptionGroup var arithmetic: ArithmeticOptions
  @OptionGroup var messages: MessageOptions

  @Argument(help: "Activations streams. Without any, standard input is read.", completion: .file())
  var files: [String] = []

  func validate() throws {
    for (flag, value, least) in [("--stride", stride, 1), ("--at-a-time", atATime, 1), ("--random", random, 0)] {
      guard let value, value < least else { continue }
      throw ValidationError("\(flag): expected a number of at least \(least), found \(value)")
    }
    guard saes.sae == nil else { return }
    for (flag, isGiven) in [
      ("--keep-decoder-norms", saes.keepDecoderNorms), ("--sae-k", saes.saeK != nil),
      ("--ignore-sae-place", saes.ignoreSaePlace),
    ] where isGiven {
      throw ValidationError("\(flag): requires --sae")
    }
  }

  func filter() throws {
    let compute = try arithmetic.devices(compute)
    let checkpoint = try Checkpoint(model)
    checkpoint.warnings.forEach(warn)
    let (named, references) = try choice.choose { try $0.check(identity: checkpoint.identity) }
    let description = checkpoint.description
    try check(named, description)
    if saes.sae == nil {
      if let place = references.keys.min() {
        throw Failure(
          .usage, "--sae: required, because the averages at \(place) are those of an autoencoder's features, found none"
        )
      }
      try check(named, below: "a dimension of the activation, which is meant without --sae") {
        description.width(of: $0.site)
      }
    }
    let earlier = try skipFeatures.map(EffectLine.read) ?? []
    let files = try InputFile.standardInputOr(files)
    let needsSurvey = ablate == .mean || random > 0 && saes.sae != nil
    if needsSurvey { try refusePipes(files, ablate == .mean ? "--ablate mean" : "--random") }
    if atATime != nil { try refusePipes(files, "--at-a-time") }
    let input = try ActivationInput(files, checkpoint, places: PlaceList(named.map(\.place)))

    let operations = try compute.makeOperations(messages)
    let loaded = try saes.load(input.places, of: checkpoint, model: model, operations, compute, messages)
    try choice.check(references, against: loaded.references)
    let layers = DecoderModel.layers(from: input.places.places[0], of: description)
    let decoder = try DecoderModel(
      checkpoint, layers: layers, includingHead: true, arithmetic: arithmetic.arithmetic,
      operations: arithmetic.modelOperations(operations, compute))
    var study = EffectStudy(
      input, decoder, loaded.operations, stride: stride ?? (saes.sae == nil ? 1 : 4), scope: strideScope,
      FiniteNumbers(decoder, isWaived: compute.allowNonfinite), messages)
    try check(named, below: "a feature of the autoencoder", study.count)
    if needsSurvey { try study.makeSurvey() }
    var chosen = named.map { ChosenFeature(name: $0, isRandom: false) }
    chosen = study.addingRandom(random, to: chosen, seed: seed)
    try write(chosen, earlier, &study)
    try compute.finish(operations, messages)
  }

  private func refusePipes(_ files: [InputFile], _ flag: String) throws {
    guard files.contains(where: { !$0.canRewind }) else { return }
    throw Failure(.usage, "\(flag): reads the activations more than once: expected files, found a pipe")
  }

  private func check(_ features: [FeatureName], below what: String, _ count: (Place) -> Int) throws {
    for feature in features where feature.index >= count(feature.place) {
      throw Failure(.usage, "\(feature): expected \(what), from 0 to \(count(feature.place) - 1)")
    }
  }

  /// Refuses features of places that the model lacks.
  private func check(_ features: [FeatureName], _ description: DecoderDescription) throws {
    for feature in features {
      do { try description.check([feature.place.site]) } catch { throw error.at("\(choice.flag): \(feature)") }
      guard feature.place.layer < description.layerCount else {
        throw Failure(
          .usage, "\(choice.flag): \(feature): the model's last layer is \(description.layerCount - 1)")
      }
    }
  }

  /// Writes the lines of all features, some at a time, and those of their places.
  private func write(_ chosen: [ChosenFeature], _ earlier: [EffectLine], _ study: inout EffectStudy) throws {
    let isDone = Set(earlier.map(\.name))
    let left = chosen.filter { !isDone.contains($0.name) }
    let output = OutputFile.standardOutput()
    if format == .text { try output.write("\(EffectLine.heading)\n") }
    var lines = earlier
    let progress = Progress(unit: "ablations", total: 0, messages)
    let size = atATime ?? (study.input.canRewind ? 64 : max(left.count, 1))
    var loss: (sum: Double, predictions: Int)?
    for first in Swift.stride(from: 0, to: left.count, by: size) {
      let features = left[first..<min(first + size, left.count)]
      let effects = try study.effects(
        of: features.map { AblatedFeature($0.name.place, $0.name.index, target: target($0.name, study)) }, progress,
        expectations: first == 0 ? left.count : 0)
      loss = (effects.loss, effects.predictions)
      let new = zip(features, effects.effects).map { EffectLine($0.name, $1, isRandom: $0.isRandom) }
      for line in new { try output.write("\(format == .json ? line.json : line.text)\n") }
      lines += new
    }
    for place in study.input.places.places {
      let line = PlaceLine(place, lines.filter { $0.name.place == place })
      try output.write("\(format == .json ? line.json : line.text)\n")
      if format == .json { messages.note(line.text) }
    }
    try output.finish()
    guard let loss else { return progress.finish() }
    let perPrediction = loss.sum / Double(max(loss.predictions, 1))
    FactWriter.write(.loss(natsPerToken: perPrediction, predictions: loss.predictions))
    progress.finish(", loss \(decimal(perPrediction, 4)) nats per prediction")
  }

  private func target(_ feature: FeatureName, _ study: EffectStudy) -> Double {
    ablate == .zero ? 0 : study.mean(feature)
  }
}
