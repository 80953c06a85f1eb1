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
  static let configuration = CommandConfiguration(
    commandName: "sae-grad",
    abstract: "Gradients of the next-token loss with respect to the features of sparse autoencoders.",
    discussion: """
      Reads an activations stream, writes a gradients stream. At every --stride-th position of a sample the activation \
      at the autoencoder's place, such as mlp_out.3, is replaced by what the autoencoder makes of it; grad.mlp_out.3 is \
      the gradient there, which grad-aggregate multiplies with the decoder to the gradient of every feature.

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt |
              qwen-capture --model demo/model > acts.ts
            sae='demo/saes/mlp_out_layer_{layer}/trainer_0'
            sae-grad --model demo/model --sae "$sae" < acts.ts |
              grad-aggregate --save out > out.ts
            sae-grad --model demo/model --sae "$sae" --layers 2 < acts.ts > grad-2.ts
            sae-grad --list-saes demo/saes
      """,
    version: packageVersion)

  @Option(help: "The model that the activations were captured from: a folder or a hub id.", completion: .file())
  var model: String?

  @Option(
    help: ArgumentHelp(
      """
      The autoencoders: a folder, a file or a hub id, with a path within the repository. {layer} and {site} are \
      replaced, and * stands for any part of a name of which there is one: \
      layer_{layer}/average_l0_*.
      """, valueName: "path"),
    completion: .file())
  var sae: String?

  @Option(
    name: .customLong("list-saes"),
    help: ArgumentHelp(
      "List the autoencoders below a folder or in a repository of the hub's cache, and where they go; nothing else.",
      valueName: "path"),
    completion: .file())
  var listedSAEs: String?

  @Flag(help: "List as JSON, an object a line.")
  var json = false

  @OptionGroup var placeOptions: PlaceOptions

  @Option(help: "Take every n-th position.")
  var stride = 4

  @Option(help: "Count positions along each sample, or along the real tokens of the whole batch: sample or batch.")
  var strideScope = StrideScope.sample

  @Flag(help: "Add what the autoencoder misses back as a constant: one forward and one backward pass for all layers.")
  var useErrorTerm = false

  @Flag(help: "Write every feature's gradient, 65,536 numbers a position, instead of what the decoder multiplies.")
  var dense = false

  @Flag(help: "Write the decoders into the stream, for one that travels without the autoencoders' files.")
  var embedBasis = false

  @Flag(
    help: "Take an AutoEncoder of dictionary_learning as it is stored, its decoder's rows not divided by their norms.")
  var keepDecoderNorms = false

  @Option(help: "The k of a top-k autoencoder whose files do not say it.")
  var saeK: Int?

  @Flag(help: "Go on with an autoencoder that by its own files was made for another layer or place than it is used at.")
  var ignoreSaePlace = false

  @OptionGroup var compute: ComputeOptions
  @OptionGroup var messages: MessageOptions

  func validate() throws {
    if listedSAEs == nil {
      for (flag, value) in [("--model", model), ("--sae", sae)] where value == nil {
        throw ValidationError("\(flag): expected a value, since there is no default, found none")
      }
      if json { throw ValidationError("--json: expected with --list-saes, which is what it is the form of") }
    } else if let other = [("--model", model), ("--sae", sae)].first(where: { $0.1 != nil }) {
      throw ValidationError("\(other.0): expected without --list-saes, which only lists")
    }
    if stride < 1 { throw ValidationError("--stride: expected a number of at least 1, found \(stride)") }
    if dense, embedBasis {
      throw ValidationError("--embed-basis: expected without --dense, whose stream needs no decoder")
    }
    if let sae, let layers = placeOptions.layers {
      try PlaceOptions.check("--sae", sae, for: PlaceList(sites: placeOptions.sites, layers: layers.layers))
    }
    if let saeK, saeK < 1 { throw ValidationError("--sae-k: expected a number of at least 1, found \(saeK)") }
  }

  func filter() throws {
    if let listedSAEs { return try listAutoencoders(below: listedSAEs, asJSON: json) }
    guard let model, let sae else { preconditionFailure("validate asks for both") }
    var loaded: (places: PlaceList, model: DecoderModel, autoencoders: LoadedAutoencoders)?
    try writeGradients(of: model, compute, messages) { checkpoint, captured, operations in
      let places = try choose(captured, checkpoint.description)
      if loaded?.places != places {
        let layers = DecoderModel.layers(from: places.places[0], of: checkpoint.description)
        let model = try DecoderModel(checkpoint, layers: layers, includingHead: true, operations: operations)
        loaded = (places, model, try autoencoders(sae, places, checkpoint, operations))
      }
      let (_, model, autoencoders) = loaded!
      let pass = FeatureGradients(model: model, autoencoders: autoencoders.operations, options: options)
      return GradientSegment(
        pass, of: model, provenance: provenance(places, autoencoders.references),
        firstRecords: embedBasis ? pass.basisRecords() : EmptyCollection()
      ) {
        .init(facts(pass.reports), lines: lines(pass.reports, autoencoders.operations))
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

  private func autoencoders(
    _ sae: String, _ places: PlaceList, _ checkpoint: Checkpoint, _ operations: any TensorOperations
  ) throws -> LoadedAutoencoders {
    try PlaceOptions.check("--sae", sae, for: places)
    // Opening reads them from end to end: checksums, the content hash, numbers that are none.
    let team = ThreadTeam(size: min(compute.threadCount, places.places.count))
    let opened = try team.map(places.places) { try open(sae, $0, checkpoint.description) }
    if sae.contains("*"), !messages.quiet {
      for (place, (autoencoder, _, _)) in zip(places.places, opened) { complain("\(place): \(autoencoder.path)") }
    }
    opened.flatMap(\.warnings).forEach(warn)
    var loaded: LoadedAutoencoders = ([:], [:])
    let memory = AutoencoderMemory(operations)
    for (place, (autoencoder, reference, _)) in zip(places.places, opened) {
      loaded.operations[place] = try AutoencoderOperations(autoencoder, memory: memory)
      loaded.references[place] = reference
    }
    return loaded
  }

  /// One place's autoencoder, which must fit there.
  private func open(
    _ sae: String, _ place: Place, _ description: DecoderDescription
  ) throws -> (autoencoder: SparseAutoencoder, reference: BasisReference, warnings: [String]) {
    var options = SparseAutoencoder.Options()
    options.normalizesDecoder = !keepDecoderNorms
    options.k = saeK
    let autoencoder = try SparseAutoencoder(place.substituted(in: sae), options: options)
    var warnings = try autoencoder.check(width: description.width(of: place.site), modelName: model)
    if let misplacement = autoencoder.misplacement(at: place) {
      guard ignoreSaePlace else { throw Failure(.malformed, "\(misplacement); --ignore-sae-place goes on") }
      warnings.append(misplacement)
    }
    if let saeK, !autoencoder.usesGivenK {
      let own = autoencoder.k.map { ", whose files say k \($0)" } ?? ""
      throw Failure(
        .usage, "--sae-k: \(saeK) is not used by the \(autoencoder.className) in \(autoencoder.path)\(own)")
    }
    // A feature with a NaN in its encoder would just never be active.
    if !compute.allowNonfinite, let place = try autoencoder.placeOfNonfinite() {
      throw Failure(.malformed, "\(autoencoder.path): \(place); --allow-nonfinite goes on")
    }
    let reference = try BasisReference(autoencoder, keepsDecoderNorms: keepDecoderNorms, isEmbedded: embedBasis)
    return (autoencoder, reference, warnings)
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
      return "\(line) nats a token"
    }
  }
}

/// By place.
private typealias LoadedAutoencoders = (operations: [Place: AutoencoderOperations], references: [Place: BasisReference])

extension StrideScope: ExpressibleByArgument {}
