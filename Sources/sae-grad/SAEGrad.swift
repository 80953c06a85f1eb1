import ArgumentParser
import ComputeSupport
import FilterSupport
import GradientPasses
import QwenModel
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
      Reads an activations stream, writes a gradients stream. At every --stride-th position of a sample the layer's MLP \
      output is replaced by what the autoencoder makes of it; grad.L is the gradient there, which grad-aggregate \
      multiplies with the decoder to the gradient of every feature.

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt |
              qwen-capture --model demo/model > acts.ts
            sae='demo/saes/mlp_out_layer_{layer}/trainer_0'
            sae-grad --model demo/model --sae "$sae" < acts.ts |
              grad-aggregate --save out > out.ts
            sae-grad --model demo/model --sae "$sae" --layers 2 < acts.ts > grad-2.ts
      """,
    version: packageVersion)

  @Option(help: "The model that the activations were captured from: a folder or a hub id.", completion: .file())
  var model: String

  @Option(
    help: ArgumentHelp(
      "The autoencoders: a folder, a file or a hub id; {layer} is the layer's number.", valueName: "path"),
    completion: .file())
  var sae: String

  @Option(
    help: "Layers whose autoencoders to use. (default: all captured ones)", completion: .layers,
    transform: LayerList.asked)
  var layers = LayerList?.none

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
    if stride < 1 { throw ValidationError("--stride: expected a number of at least 1, found \(stride)") }
    if dense, embedBasis {
      throw ValidationError("--embed-basis: expected without --dense, whose stream needs no decoder")
    }
    if let layers, layers.layers.count > 1, !sae.contains("{layer}") {
      throw ValidationError("--sae: expected {layer} in the path, since --layers names several, found '\(sae)'")
    }
    if let saeK, saeK < 1 { throw ValidationError("--sae-k: expected a number of at least 1, found \(saeK)") }
  }

  func filter() throws {
    let checkpoint = try Checkpoint(model)
    for warning in checkpoint.warnings { complain("warning: \(warning)") }
    let asked = try layers?.checked(layerCount: checkpoint.configuration.layerCount)
    let output = try StreamWriter.toStandardOutput()
    let operations = try compute.makeOperations(quiet: messages.quiet)
    let reader = StreamReader(.standardInput())
    var loaded: (layers: LayerList, model: QwenModel, autoencoders: LoadedAutoencoders)?

    while let segment = try reader.nextSegment(.activations) {
      try segment.check(identity: checkpoint.identity)
      let captured = try LayerList(segment).checked(layerCount: checkpoint.configuration.layerCount)
      let layers = asked ?? captured
      if let missing = layers.layers.first(where: { !captured.layers.contains($0) }) {
        throw Failure(.malformed, "expected layer \(missing) captured, found layers \(captured.description)")
      }
      if loaded?.layers != layers {
        let model = try QwenModel(
          checkpoint, layers: layers.layers[0] + 1..<checkpoint.configuration.layerCount, includingHead: true,
          operations: operations)
        loaded = (layers, model, try autoencoders(layers, checkpoint, operations))
      }
      let pass = FeatureGradients(model: loaded!.model, autoencoders: loaded!.autoencoders.operations, options: options)
      try output.begin(.gradients, provenance: provenance(segment, checkpoint, loaded!.autoencoders.references))
      if embedBasis {
        for record in pass.basisRecords() { try output.write(record, batch: nil) }
      }
      let finiteNumbers = FiniteNumbers(loaded!.model, isWaived: compute.allowNonfinite)
      let progress = Progress(unit: "samples", total: segment.count("samples"), quiet: messages.quiet)
      let groups = SampleGroupReader(
        reader, checkpoint.configuration, tensors: pass.neededTensors, passRows: pass.passRows)
      while let group = try groups.next() {
        let records = pass.records(group)
        try finiteNumbers.check(records, of: group)
        try output.write(records, of: group)
        progress.advance(group.tokens.sampleCount, tokens: group.tokens.tokenCount)
      }
      try output.end()
      if !messages.quiet { report(pass.reports, loaded!.autoencoders.operations) }
      progress.finish()
    }
    try output.finish()
    compute.reportMemory(operations, quiet: messages.quiet)
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
    _ layers: LayerList, _ checkpoint: Checkpoint, _ operations: any TensorOperations
  ) throws -> LoadedAutoencoders {
    var options = SparseAutoencoder.Options()
    options.normalizesDecoder = !keepDecoderNorms
    options.k = saeK
    guard layers.layers.count == 1 || sae.contains("{layer}") else {
      throw Failure(
        .usage,
        "--sae: one autoencoder for the captured layers \(layers.description): expected {layer} in the path, or --layers "
          + "with its own layer, found '\(sae)'")
    }
    // Opening reads them from end to end: checksums, the content hash, numbers that are none.
    let opened = try ThreadTeam(size: min(compute.threadCount, layers.layers.count)).map(layers.layers) { layer in
      let autoencoder = try SparseAutoencoder(sae, layer: layer, options: options)
      var warnings = try autoencoder.check(width: checkpoint.configuration.hiddenSize, modelName: model)
      if let misplacement = autoencoder.misplacement(layer: layer) {
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
    for warning in opened.flatMap(\.2) { complain("warning: \(warning)") }
    var loaded: LoadedAutoencoders = ([:], [:])
    let memory = AutoencoderMemory(operations)
    for (layer, (autoencoder, reference, _)) in zip(layers.layers, opened) {
      loaded.operations[layer] = try AutoencoderOperations(autoencoder, memory: memory)
      loaded.references[layer] = reference
    }
    return loaded
  }

  private func provenance(
    _ segment: Segment, _ checkpoint: Checkpoint, _ references: [Int: BasisReference]
  ) -> [String: String] {
    var own = checkpoint.identity.merging(compute.provenance) { _, own in own }
    own["unit"] = "feature"
    own["layers"] = LayerList(references.keys).description
    own["stride"] = String(stride)
    own["stride_scope"] = strideScope.rawValue
    own["error_term"] = String(useErrorTerm)
    for (layer, reference) in references { own["\(dense ? "sae" : "basis").\(layer)"] = reference.text }
    return Provenance.extending(segment.provenance, with: own)
  }

  /// What people check an autoencoder by.
  private func report(_ reports: [Int: ReconstructionReport], _ autoencoders: [Int: AutoencoderOperations]) {
    for (layer, report) in reports.sorted(by: { $0.key < $1.key }) {
      let k = autoencoders[layer]!.autoencoder.k.map { " (k \($0))" } ?? ""
      var line = "layer \(layer): L0 \(decimal(report.meanL0, 1))\(k)"
      line += ", variance explained \(decimal(100 * report.varianceExplained, 1)) %"
      let predictions = Double(max(report.predictions, 1))
      if let loss = report.loss { line += ", loss \(decimal(loss / predictions, 4))" }
      if let loss = report.replacedLoss { line += ", with the SAE \(decimal(loss / predictions, 4))" }
      complain("\(line) nats a token")
    }
  }
}

/// By layer.
private typealias LoadedAutoencoders = (operations: [Int: AutoencoderOperations], references: [Int: BasisReference])

extension StrideScope: ExpressibleByArgument {}
