import Aggregation
import ArgumentParser
import FilterSupport
import SystemIO
import TensorFiles
import TensorOperations
import TensorStream

@main
struct GradAggregate: Filter {
  static let configuration = CommandConfiguration(
    commandName: "grad-aggregate",
    abstract:
      "Average gradients, attributions and activations over positions, signed or absolute, with standard errors.",
    discussion: """
      Reads gradients, or aggregates to be merged; writes an aggregates stream, .npy files with --save, and each \
      layer's statistics on standard error.

      A gradient is that of the summed loss in nats, and every recorded position counts the same: so batches, shards \
      and their order change nothing. --loss-reduction and --weighting choose other scales and weights.

      Every average has a standard error, over the documents of the text or, where samples were drawn at random, over \
      samples (--unit); --save --standard-errors writes them as arrays. Attributions are activation times gradient: \
      what the loss would lose, to first order, if the activation became 0.

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt |
              qwen-capture --model demo/model --layers 0 |
              act-grad --model demo/model --with-activations > gradients.ts
            grad-aggregate --quantity attribution --save out gradients.ts > a.ts
            grad-aggregate --mode both --save out gradients.ts |
              grad-plot --output out
            grad-aggregate --partial gradients.ts > sums.ts
            grad-aggregate --save out sums.ts > out.ts
      """,
    version: packageVersion)

  @Option(
    help: """
      What is averaged: gradient, attribution (activation times gradient), activation, or a list of them; with the \
      last two also how often features fire. (default: gradient)
      """)
  var quantity: Quantities?

  @Option(help: "The average of |c·g|, of c·g, or both. (default: mean_abs)")
  var mode: Modes?

  @Option(
    help: """
      sum, padded, sample or batch: c is 1, 1/(batch size × (max_length − 1)) as of scripts that pad every sample, \
      1/predictions of the sample, or 1/predictions of the batch. (default: sum)
      """)
  var lossReduction: LossReduction?

  @Option(
    help: """
      position, sample or batch: one pool of positions; the mean over a sample's positions, then over samples; the \
      mean over a batch's positions, then over batches. (default: position)
      """)
  var weighting: Weighting?

  @Option(
    help: """
      document or sample: what standard errors take as independent of one another. (default: document, and sample \
      where samples were shuffled)
      """)
  var unit: IndependentUnit?

  @Option(help: ArgumentHelp("Leave out the positions of each sample before this one.", valueName: "n"))
  var fromPosition: Int?

  @Flag(help: "Average over samples of different texts, in each of which they are numbered anew; otherwise refused.")
  var mixTexts = false

  @Option(
    help: ArgumentHelp(
      """
      Also write layer_{i}_{mode}_gradients.npy into this folder, and …_attributions.npy, …_activations.npy, \
      layer_{i}_firing.npy where they are asked for; at other sites than mlp_out layer_{i}_{site}_{mode}_gradients.npy.
      """, valueName: "folder"),
    completion: .directory)
  var save: String?

  @Flag(help: "Also save the standard errors: layer_{i}_{mode}_gradients_se.npy.")
  var standardErrors = false

  @Flag(help: "Write sums only, to be merged by another grad-aggregate: no averages, no statistics.")
  var partial = false

  @Option(
    help: ArgumentHelp(
      "Where the autoencoders of factored gradients lie now, {layer} being the layer. (default: where the stream says)",
      valueName: "path"), completion: .file())
  var sae: String?

  @OptionGroup var compute: ComputeOptions
  @OptionGroup var messages: MessageOptions

  @Argument(help: "Streams of gradients or aggregates; standard input where none is given.", completion: .file())
  var files: [String] = []

  func validate() throws {
    if standardErrors, save == nil {
      throw ValidationError("--standard-errors: expected with --save, which it adds to")
    }
    if let fromPosition, fromPosition < 0 {
      throw ValidationError("--from-position: expected a number of at least 0, found \(fromPosition)")
    }
    if partial, save != nil { throw ValidationError("--save: expected without --partial, which makes no averages") }
  }

  func filter() throws {
    let inputs = try InputFile.standardInputOr(files)
    if let save { try checkOutputFolder(save) }
    // Statistics and arrays are worth having without the stream.
    let output = save != nil && standardOutputIsTerminal ? nil : try StreamWriter.toStandardOutput()
    var sums: GradientSums?
    var agreement = ProvenanceAgreement(mixesTexts: mixTexts)
    // Without decoders to multiply by, there is nothing to compute on a GPU.
    var operations: (any TensorOperations)?
    var bases = BasisFiles(override: sae, threads: compute.threadCount) {
      let made = try compute.makeOperations(messages)
      operations = made
      return made
    }
    var begun: Progress?
    for file in inputs {
      let reader = StreamReader(file)
      while let segment = try reader.nextSegment() {
        guard segment.kind == .gradients || segment.kind == .aggregates else {
          throw Failure(
            .malformed, "\(file.name): expected a stream of gradients or aggregates, found \(segment.kind.rawValue)")
        }
        let progress = begun ?? Progress(unit: "records", total: inputs.count == 1 ? 0 : nil, messages)
        begun = progress
        progress.expect(segment.kind == .gradients ? segment.count("batches") : nil)
        do {
          let choices = try choices(segment)
          let texts = try agreement.add(segment.provenance, choices)
          let all = sums ?? GradientSums(choices, allowsNonfinite: compute.allowNonfinite)
          sums = all
          if segment.kind == .gradients {
            guard texts.count == 1 else {
              throw Failure(.malformed, "begin record: text: expected the hashes of one text, found \(texts.count)")
            }
            try bases.use(segment, in: all)
          }
          while let record = try reader.nextRecord() {
            if segment.kind == .gradients {
              if try bases.use(record, in: all) { continue }
              try all.add(gradients: record, of: texts[0])
            } else {
              try all.merge(partial: record, of: texts)
            }
            progress.advance(1)
          }
        } catch let failure as Failure where !failure.description.hasPrefix("\(file.name): ") {
          throw failure.at(file.name)
        }
      }
    }
    // A stream without a segment was refused.
    let (all, progress) = (sums!, begun!)
    all.finish()
    // Where nothing was multiplied, nothing was rounded.
    let provenance = agreement.joined!.merging(operations == nil ? [:] : compute.provenance) { _, own in own }
    try finish(all, of: agreement.texts, provenance: provenance, to: output)
    progress.finish()
    try compute.finish(operations, messages)
  }

  /// The choices of the flags, where aggregates are merged those that made them.
  private func choices(_ segment: Segment) throws -> AggregationChoices {
    let known = segment.kind == .aggregates ? segment.provenance : [:]
    let modes = try agreed("mode", mode?.modes, known["mode"].map(AggregationChoices.modes(named:)))
    let lossReduction =
      try agreed("loss-reduction", lossReduction, known["loss_reduction"].map(LossReduction.init(rawValue:))) ?? .sum
    let quantities = try agreed(
      "quantity", quantity?.quantities, known["quantity"].map(AggregationChoices.quantities(named:)))
    let isShuffled = segment.provenance["samples.order"] == "shuffled"
    let unit = try agreed("unit", unit, known["standard_errors"].map(IndependentUnit.init(rawValue:)))
    if unit == .document, isShuffled {
      throw Failure(
        .malformed,
        "--unit document: the samples were drawn at random, so that a document's do not follow one another: expected "
          + "--unit sample")
    }
    let firstPosition = try agreed(
      "from-position", fromPosition, segment.kind == .aggregates ? .some(Int(known["from_position"] ?? "0")) : nil)
    return AggregationChoices(
      quantities: quantities ?? [.gradient], modes: modes ?? [.meanAbsolute], lossReduction: lossReduction,
      weighting: try agreed("weighting", weighting, known["weighting"].map(Weighting.init(rawValue:))) ?? .position,
      paddedPredictions: lossReduction == .padded
        ? try AggregationChoices.paddedPredictions(of: segment.provenance) : nil,
      unit: unit ?? (isShuffled ? .sample : .document), firstPosition: max(firstPosition ?? 0, 0))
  }

  /// The value of a flag or that of an aggregates stream, which must not contradict each other.
  private func agreed<Value: Equatable>(_ flag: String, _ asked: Value?, _ found: Value??) throws -> Value? {
    guard let found else { return asked }
    guard let found else { throw Failure(.malformed, "begin record: \(flag): an unknown value") }
    guard asked == nil || asked == found else {
      throw Failure(.malformed, "--\(flag): the aggregates were made with another value: rerun without the flag")
    }
    return found
  }

  private func finish(
    _ sums: GradientSums, of texts: [TextIdentity], provenance: [String: String], to output: StreamWriter?
  ) throws {
    let places = sums.places.sorted { $0.key < $1.key }
    guard !places.isEmpty else { throw Failure(.malformed, "no gradients: expected at least one record, found none") }
    if let place = places.first(where: { $0.value.weight == 0 })?.key {
      throw Failure(.malformed, "\(place): no gradients: expected at least one recorded position, found none")
    }
    var record = sums.record(of: texts)
    if !partial {
      // Whatever is wrong with one of them shows before the first is saved.
      let averages = try FinishedAverages(sums, allowsNonfinite: compute.allowNonfinite)
      averages.write(to: &record)
      if let save { try averages.save(into: save, standardErrors: standardErrors) }
      if !messages.quiet || FactWriter.isOpen { averages.report(messages) }
    }
    guard let output else { return }
    let own = [
      "places": PlaceList(places.map(\.key)).description,
      "samples": String(places.map(\.value.samples.count).max()!),
    ]
    try output.begin(
      .aggregates, provenance: Provenance.extending(provenance.merging(own) { _, own in own }))
    try output.write(record, batch: 0)
    try output.end()
    try output.finish()
  }
}

/// The values of `--mode`.
struct Modes: ExpressibleByArgument {
  static let allValueStrings = [AveragingMode.meanAbsolute, .mean].map(\.names.flag) + ["both"]
  static let defaultCompletionKind = CompletionKind.list(allValueStrings)

  let modes: Set<AveragingMode>

  init?(argument: String) {
    guard let modes = AggregationChoices.modes(named: argument) else { return nil }
    self.modes = modes
  }
}

extension LossReduction: ExpressibleByArgument {}
extension Weighting: ExpressibleByArgument {}
extension IndependentUnit: ExpressibleByArgument {}
