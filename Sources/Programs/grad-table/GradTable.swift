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
    abstract: """
      Print averages as a table: one row per feature or dimension, the largest first, with standard errors.
      """,
    discussion: """
      Columns: site, layer, index; for each quantity in the input (gradient, attribution, activation) its signed mean \
      with standard error, z (how many standard errors the mean is away from 0), and mean_abs with standard error; \
      firing, the share of positions at which the feature is active; first_share, the share of position 0 in \
      attribution.mean_abs. --effects adds effect, predicted and missed, from sae-effect.

      --compare adds the averages of another run, the difference with its standard error (as if the two runs used \
      different samples), the correlation of the ranks, and how many of the top N are the same in both.

      \(exampleFiles)

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
      Sort by the magnitude in this column, such as gradient.mean, attribution.z or firing, the largest first; or \
      by index. (default: attribution.mean_abs if all places have it, otherwise gradient.mean_abs)
      """, valueName: "column"),
    completion: .list(FeatureColumn.all.map(\.title) + ["index"]), transform: TableOrder.init)
  var sort = TableOrder?.none

  @Option(help: "Print only the first N rows of each place. (default: all rows; 20 with --format text)")
  var top: Int?

  @Option(
    help: ArgumentHelp("Rank the features of all places together, and print only the first N rows.", valueName: "n"))
  var topOverall: Int?

  @Option(help: FeatureList.help("Only these features"), completion: .file())
  var features: String?

  @Option(
    help: """
      Print columns separated by tabs, lines of JSON, or an aligned table to read. On a terminal, text leaves out \
      columns that do not fit, and says which.
      """)
  var format = TableFormat.tsv

  @Option(
    help: ArgumentHelp(
      """
      Compare with the averages of another run: a stream or an array. For several arrays, give the flag once for \
      each.
      """,
      valueName: "path"), completion: .file())
  var compare: [String] = []

  @Option(
    help: ArgumentHelp(
      """
      Add columns from the output of sae-effect: the true change of the loss, the predicted one, and whether the \
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
    let choices = [("--top", top != nil), ("--top-overall", topOverall != nil), ("--features", features != nil)]
    let given = choices.filter(\.1).map(\.0)
    if given.count > 1 { throw ValidationError("\(given[1]): cannot be combined with \(given[0])") }
    if let features { try FeatureList.validate(features) }
    try input.checkArrayFlags(with: compare)
    if compare.contains("-"), input.files.isEmpty || input.files.contains("-") {
      throw ValidationError("--compare: expected a file, as standard input is read for the averages")
    }
    if effects != nil, !compare.isEmpty { throw ValidationError("--effects: cannot be combined with --compare") }
  }

  func filter() throws {
    let named = try features.map { Set(try FeatureList(listOrFile: $0).features) }
    let collection = try input.read()
    var places = try PlaceColumns.byPlace(input.chosen(from: collection))
    if let effects { try places.add(effects: effects) }
    let selection = try selection(named, of: &places)
    let table =
      try compare.isEmpty
      ? FeatureTable(places, selection, by: sort) : compared(places, collection, selection)
    let output = OutputFile.standardOutput()
    try table.write(as: format, to: output, width: TerminalLine.outputWidth)
    try output.finish()
  }

  /// Which rows there are to be; leaves out places without any.
  private func selection(
    _ named: Set<FeatureName>?, of places: inout [PlaceColumns]
  ) throws -> FeatureTable.Selection {
    if let chosen = named {
      do { try places.check(chosen.sorted { $0.place < $1.place }) } catch { throw error.at("--features") }
      places.removeAll { place in !chosen.contains { $0.place == place.place } }
      return .only(chosen)
    }
    if let topOverall { return .topOverall(topOverall) }
    return top.map { .top($0) } ?? (format == .text ? .top(Self.usualTop) : .all)
  }

  private static let usualTop = 20

  private func compared(
    _ places: [PlaceColumns], _ collection: AverageCollection, _ selection: FeatureTable.Selection
  ) throws -> FeatureTable {
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
