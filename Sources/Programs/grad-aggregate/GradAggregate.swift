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

  @OptionGroup var aggregation: AggregationOptions

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
    if partial, save != nil { throw ValidationError("--save: expected without --partial, which makes no averages") }
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
