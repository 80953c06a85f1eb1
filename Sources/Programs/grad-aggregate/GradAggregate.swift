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
      "Average gradients, attributions and activations over positions, with standard errors.",
    discussion: """
      Reads gradients, or aggregates to be merged. Writes an aggregates stream, .npy files with --save, and the \
      statistics of each layer on standard error.

      By default gradients are those of the summed loss in nats, and every recorded position counts equally. The \
      averages then do not depend on how samples are divided into batches and shards. --loss-reduction and --weighting \
      choose other scales and weights.

      Every average has a standard error, over documents or, if the samples were shuffled, over samples (--unit). \
      --save with --standard-errors also saves these as arrays. An attribution is activation times gradient: to first \
      order, what the loss would lose if the activation became 0.

      \(exampleFiles)

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

  @OptionGroup var aggregation: AggregationOptions

  @Flag(
    help: """
      Allow inputs from different texts, in each of which samples are numbered from 0. Otherwise they are refused.
      """)
  var mixTexts = false

  @Option(
    help: ArgumentHelp(
      """
      Also save the averages as arrays in this folder: layer_{i}_{mode}_gradients.npy, and likewise \
      …_attributions.npy, …_activations.npy and layer_{i}_firing.npy if --quantity asks for them. At sites other \
      than mlp_out the name contains the site: layer_{i}_{site}_{mode}_gradients.npy.
      """, valueName: "folder"),
    completion: .directory)
  var save: String?

  @Flag(help: "With --save: also save the standard errors, as layer_{i}_{mode}_gradients_se.npy and so on.")
  var standardErrors = false

  @Flag(
    help: """
      Write only the sums that averages are made of, for another grad-aggregate to merge. No averages and no \
      statistics are written.
      """)
  var partial = false

  @Option(
    help: ArgumentHelp(
      "Where the autoencoders lie now, if not where the stream says; {layer} is replaced by each layer.",
      valueName: "path"), completion: .file())
  var sae: String?

  @OptionGroup var compute: ComputeOptions
  @OptionGroup var messages: MessageOptions

  @Argument(
    help: "Streams of gradients, or of aggregates to be merged. Without any, standard input is read.",
    completion: .file())
  var files: [String] = []

  func validate() throws {
    if standardErrors, save == nil {
      throw ValidationError("--standard-errors: requires --save")
    }
    if partial, save != nil {
      throw ValidationError("--save: cannot be combined with --partial, which computes no averages")
    }
  }

  func filter() throws {
    try compute.beginTrace()
    let inputs = try InputFile.standardInputOr(files)
    if let save { try checkOutputFolder(save) }
    // Statistics and arrays are worth having without the stream.
    let output = save != nil && standardOutputIsTerminal ? nil : try StreamWriter.toStandardOutput()
    let sums = SegmentSums(aggregation, compute, mixesTexts: mixTexts, sae: sae) {
      try compute.makeOperations(messages)
    }
    var begun: Progress?
    try readSegments(of: inputs) { segment in
      guard segment.kind == .gradients || segment.kind == .aggregates else {
        throw Failure(.malformed, "expected a stream of gradients or aggregates, found \(segment.kind.rawValue)")
      }
      let progress = begun ?? Progress(unit: "records", total: inputs.count == 1 ? 0 : nil, messages)
      begun = progress
      progress.expect(segment.kind == .gradients ? segment.count("batches") : nil)
      try sums.begin(segment)
    } _: { record in
      if try Trace.span("add", { try sums.add(record) }) { begun!.advance(1) }
    }
    // A stream without a segment was refused.
    try finish(sums, to: output)
    begun!.finish()
    try compute.finish(sums.operations, messages)
  }

  private func finish(_ segments: SegmentSums, to output: StreamWriter?) throws {
    let sums: GradientSums
    var record: OutputRecord
    (sums, record) = try segments.finish()
    if !partial {
      // Whatever is wrong with one of them shows before the first is saved.
      let averages = try FinishedAverages(sums, allowsNonfinite: compute.allowNonfinite)
      averages.write(to: &record)
      if let save { try averages.save(into: save, standardErrors: standardErrors) }
      if !messages.quiet || FactWriter.isOpen { averages.report(messages) }
    }
    if let output { try segments.write(record, to: output) }
  }
}
