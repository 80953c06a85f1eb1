import ArgumentParser
import Decoders
import FilterSupport
import GradientPasses
import SparseAutoencoders
import SystemIO
import TensorOperations
import TensorStream

@main
struct SAEGrad: Filter {
  static let takesFiles = false

  static let configuration = CommandConfiguration(
    commandName: "sae-grad",
    abstract: "Compute gradients of the next-token loss with respect to the features of sparse autoencoders (SAEs).",
    discussion: """
      Reads an activations stream and writes a gradients stream. At every --stride-th position of a sample, the \
      activation at the autoencoder's place is replaced by the autoencoder's reconstruction of it. The gradient at the \
      reconstruction is written, as grad.mlp_out.3; grad-aggregate multiplies it by the decoder, which yields the \
      gradient of every feature. Each layer has a forward and a backward pass of its own, unless --use-error-term is \
      given.

      With --sums the gradients are summed at once and only the sums are written. grad-aggregate makes the same \
      averages of them, to the last digit.

      \(exampleFiles)

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt |
              qwen-capture --model demo/model > acts.ts
            sae='demo/saes/mlp_out_layer_{layer}/trainer_0'
            sae-grad --model demo/model --sae "$sae" < acts.ts |
              grad-aggregate --save out > out.ts
            sae-grad --model demo/model --sae "$sae" --layers 2 < acts.ts > grad-2.ts
            sae-grad --model demo/model --sae "$sae" --sums < acts.ts |
              grad-aggregate --save out > out.ts
            sae-grad --list-saes demo/saes
      """,
    version: packageVersion)

  @Option(help: "The model that the activations were captured from: a folder or a hub id.", completion: .file())
  var model: String?

  @OptionGroup var saes: AutoencoderOptions

  @Option(
    name: .customLong("list-saes"),
    help: ArgumentHelp(
      """
      Only list the autoencoders in a folder and its subfolders, or in a repository of the hub cache, and the \
      place that each belongs to.
      """,
      valueName: "path"),
    completion: .file())
  var listedSAEs: String?

  @Flag(help: "With --list-saes: print a JSON object per line.")
  var json = false

  @OptionGroup var placeOptions: PlaceOptions

  @Option(help: "Use every n-th position of each sample.")
  var stride = 4

  @Option(
    help: """
      Count positions for --stride from the start of each sample, or along the real tokens of the whole batch.
      """)
  var strideScope = StrideScope.sample

  @Flag(
    help: """
      Add the SAE error term back as a constant, so that the forward pass is the unmodified model's and one backward \
      pass serves all layers.
      """)
  var useErrorTerm = false

  @Flag(
    help: """
      Write the gradient of every feature at every position, instead of the gradient at the activation, which the \
      decoder turns into them. Streams become many times larger.
      """)
  var dense = false

  @Flag(
    help: """
      Write the decoders into the stream, so that it can be averaged where the autoencoders' files are not available.
      """)
  var embedBasis = false

  @OptionGroup var sums: SumsOptions
  @OptionGroup var compute: ComputeOptions
  @OptionGroup var arithmetic: ArithmeticOptions
  @OptionGroup var messages: MessageOptions

  func validate() throws {
    if listedSAEs == nil {
      for (flag, value) in [("--model", model), ("--sae", saes.sae)] where value == nil {
        throw ValidationError("\(flag): expected a value, found none; it has no default")
      }
      if json { throw ValidationError("--json: requires --list-saes") }
    } else if let other = [("--model", model), ("--sae", saes.sae)].first(where: { $0.1 != nil }) {
      throw ValidationError("\(other.0): cannot be combined with --list-saes, which only lists autoencoders")
    }
    if stride < 1 { throw ValidationError("--stride: expected a number of at least 1, found \(stride)") }
    if dense, embedBasis {
      throw ValidationError("--embed-basis: cannot be combined with --dense, whose stream needs no decoder")
    }
    if sums.sums, embedBasis {
      throw ValidationError("--embed-basis: cannot be combined with --sums, which need no decoder")
    }
    if let sae = saes.sae, let layers = placeOptions.layers {
      try PlaceOptions.check("--sae", sae, for: PlaceList(sites: placeOptions.sites, layers: layers.layers))
    }
  }

  func filter() throws {
    if let listedSAEs { return try listAutoencoders(below: listedSAEs, asJSON: json) }
    guard let modelName = model, saes.sae != nil else { preconditionFailure("validate asks for both") }
    let compute = try arithmetic.devices(compute)
    var loaded: (places: PlaceList, model: DecoderModel, autoencoders: LoadedAutoencoders)?
    try writeGradients(of: modelName, sums, compute, messages) { checkpoint, captured, operations in
      let places = try choose(captured, checkpoint.description)
      if loaded?.places != places {
        let layers = DecoderModel.layers(from: places.places[0], of: checkpoint.description)
        let model = try DecoderModel(
          checkpoint, layers: layers, includingHead: true, arithmetic: arithmetic.arithmetic,
          operations: arithmetic.modelOperations(operations, compute))
        loaded = (
          places, model,
          try saes.load(places, of: checkpoint, model: modelName, operations, compute, messages, isEmbedded: embedBasis)
        )
      }
      let (_, model, autoencoders) = loaded!
      let pass = FeatureGradients(model: model, autoencoders: autoencoders.operations, options: options)
      return GradientSegment(
        pass, of: model, provenance: provenance(places, autoencoders.references).merging(arithmetic.provenance) { $1 },
        firstRecords: embedBasis ? pass.basisRecords() : EmptyCollection()
      ) {
        .init(
          facts(pass.reports), lines: lines(pass.reports, autoencoders.operations), closing: model.noteOnDouble)
      }
    }
  }

  /// The places whose autoencoders are to be used, all of which must have been captured.
  private func choose(_ captured: PlaceList, _ description: DecoderDescription) throws -> PlaceList {
    let ofSites = PlaceList(captured.places.filter { placeOptions.sites.contains($0.site) })
    let places = try placeOptions.places(of: description) ?? ofSites
    if let missing = places.places.first(where: { !captured.places.contains($0) }) {
      throw Failure(.malformed, "expected \(missing) captured, found \(captured)")
    }
    guard !places.places.isEmpty else {
      throw Failure(.malformed, "expected \(placeOptions.list) captured in some layer, found \(captured)")
    }
    return places
  }

  private var options: FeatureGradients.Options {
    var options = FeatureGradients.Options()
    options.stride = stride
    options.scope = strideScope
    options.usesErrorTerm = useErrorTerm
    options.isDense = dense
    return options
  }

  private func provenance(_ places: PlaceList, _ references: [Place: BasisReference]) -> [String: String] {
    var own = ["unit": "feature", "places": places.description, "error_term": String(useErrorTerm)]
    own["stride"] = String(stride)
    own["stride_scope"] = strideScope.rawValue
    for (place, reference) in references {
      own[(dense ? PlaceValue.sae : .basis).name(place)] = reference.text
    }
    return own
  }

  private func facts(_ reports: [Place: ReconstructionReport]) -> [Fact] {
    let reports = reports.sorted { $0.key < $1.key }
    // Without an autoencoder in its place, every place has the model's own loss.
    let own = reports.compactMap(\.value.lossPerToken).first.map {
      Fact.loss(natsPerToken: $0, predictions: reports[0].value.predictions)
    }
    return (own.map { [$0] } ?? [])
      + reports.map { place, report in
        .reconstruction(
          place, meanL0: report.meanL0, varianceExplained: report.varianceExplained, loss: report.lossPerToken,
          replacedLoss: report.replacedLossPerToken, predictions: report.predictions)
      }
  }

  /// What people check an autoencoder by, a line a place.
  private func lines(
    _ reports: [Place: ReconstructionReport], _ autoencoders: [Place: AutoencoderOperations]
  ) -> [String] {
    reports.sorted { $0.key < $1.key }.map { place, report in
      let k = autoencoders[place]!.autoencoder.k.map { " (k \($0))" } ?? ""
      var line = place.site == .mlpOut ? "layer \(place.layer)" : "\(place)"
      line += ": L0 \(decimal(report.meanL0, 1))\(k)"
      line += ", variance explained \(decimal(100 * report.varianceExplained, 1)) %"
      if let loss = report.lossPerToken { line += ", loss \(decimal(loss, 4))" }
      if let loss = report.replacedLossPerToken { line += ", with the SAE \(decimal(loss, 4))" }
      return "\(line) nats per prediction"
    }
  }
}
