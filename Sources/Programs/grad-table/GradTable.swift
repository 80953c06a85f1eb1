import Aggregation
import ArgumentParser
import FilterSupport
import SystemIO
import Tables
import TensorStream

@main
struct GradTable: Filter {
  static let configuration = CommandConfiguration(
    commandName: "grad-table",
    abstract: "Averages as a table: a row a feature or dimension, largest first, with standard errors.",
    discussion: """
      Columns: site, layer, index, and of each quantity there is (gradient, attribution, activation) the signed mean, \
      its standard error, z (how many of them it is away from 0), mean_abs and its standard error; then firing, the share \
      of the positions at which the feature is active; first_share, what position 0 makes up of attribution.mean_abs; with \
      --effects what sae-effect found: effect, predicted, and whether the prediction misses the effect.

      --compare sets another run beside it: both averages, their difference with its standard error (as of runs over \
      different samples), the correlation of the ranks, and how many of the top N are the same.

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt |
              qwen-capture --model demo/model --layers 0 |
              act-grad --model demo/model --with-activations > gradients.ts
            grad-aggregate --mode both --quantity gradient,attribution \\
              --save out --standard-errors gradients.ts > all.ts
            grad-table --format text --top 5 all.ts
            grad-table --layers 1-2 --sort gradient.z all.ts > table.tsv
            grad-aggregate --quantity attribution --from-position 1 \\
              gradients.ts | grad-table --compare all.ts --top-overall 20
            grad-table --format jsonl out/layer_0_mean_gradients{,_se}.npy
      """,
    version: packageVersion)

  @Option(
    help: ArgumentHelp(
      """
      What comes first: the largest magnitude in this column, such as gradient.mean, attribution.z, firing; or index. \
      (default: attribution.mean_abs where all places have it, else gradient.mean_abs)
      """, valueName: "column"),
    completion: .list(FeatureColumn.all.map(\.title) + ["index"]), transform: TableOrder.init)
  var sort = TableOrder?.none

  @Option(help: "So many rows of each place. (default: all of them, and 20 with --format text)")
  var top: Int?

  @Option(help: ArgumentHelp("So many rows of all places together.", valueName: "top"))
  var topOverall: Int?

  @Option(help: "Columns between tabs, lines of JSON, or a table for people: tsv, jsonl or text.")
  var format = TableFormat.tsv

  @Option(
    help: ArgumentHelp(
      "Averages of another run to set beside these: a stream, or an array; of several arrays once each.",
      valueName: "path"), completion: .file())
  var compare: [String] = []

  @Option(
    help: ArgumentHelp(
      """
      What sae-effect wrote of features: adds the true change of the loss, what was predicted of it, and whether the \
      prediction misses it.
      """, valueName: "path"), completion: .file())
  var effects: String?

  @OptionGroup var input: AverageOptions
  @OptionGroup var messages: MessageOptions

  func validate() throws {
    for (flag, value) in [("--top", top), ("--top-overall", topOverall)] {
      guard let value, value < 1 else { continue }
      throw ValidationError("\(flag): expected a number of at least 1, found \(value)")
    }
    if top != nil, topOverall != nil {
      throw ValidationError("--top-overall: expected without --top, found both")
    }
    if compare.contains("-"), input.files.isEmpty || input.files.contains("-") {
      throw ValidationError("--compare: expected a file, as standard input is read for the averages")
    }
    if effects != nil, !compare.isEmpty { throw ValidationError("--effects: expected without --compare, found both") }
  }

  func filter() throws {
    let collection = try input.read()
    var places = try PlaceColumns.byPlace(input.chosen(from: collection))
    if let effects { try places.add(effects: effects) }
    let table = compare.isEmpty ? try FeatureTable(places, selection, by: sort) : try compared(places, collection)
    let output = OutputFile.standardOutput()
    try table.write(as: format, to: output)
    try output.finish()
  }

  private var selection: FeatureTable.Selection {
    if let topOverall { return .topOverall(topOverall) }
    return top.map { .top($0) } ?? (format == .text ? .top(Self.usualTop) : .all)
  }

  private static let usualTop = 20

  private func compared(_ places: [PlaceColumns], _ collection: AverageCollection) throws -> FeatureTable {
    let name = compare.joined(separator: ", ")
    let other = try input.read(compare)
    if let difference = try collection.differenceOfAutoencoders(from: other) { throw difference.at(name) }
    // Places of the first that the other lacks are told of below.
    let comparison = try Comparison(
      places, with: PlaceColumns.byPlace(other.sorted()), selection, by: sort,
      top: top ?? topOverall ?? Self.usualTop)
    for difference in collection.differences(from: other) { warn("\(name): \(difference)") }
    let asked = Set(places.map(\.place))
    let missing = comparison.missing.filter(asked.contains)
    if !missing.isEmpty { warn("\(name): left out, as it has no such places: \(PlaceList(missing))") }
    if format != .text || topOverall != nil { comparison.agreements.forEach { messages.note($0.text) } }
    return comparison.table
  }
}

extension TableFormat: ExpressibleByArgument {}
