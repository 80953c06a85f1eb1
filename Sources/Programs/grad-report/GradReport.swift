import Aggregation
import ArgumentParser
import FilterSupport
import Report
import SystemIO
import Tables
import TensorStream

@main
struct GradReport: Filter {
  static let configuration = CommandConfiguration(
    commandName: "grad-report",
    abstract: "Write averages and contexts as one HTML page that needs no other files and no network.",
    discussion: """
      The page describes the run in words, compares the layers, and shows for each layer a histogram, a scatter plot \
      and a table of its first features, with the contexts that grad-contexts found for them. It can be opened from \
      disk or sent by mail. Its address followed by #mlp_out.2/17 leads to a feature. All rows of the tables and the \
      data behind the figures can be saved from it as TSV.

      \(exampleFiles)

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt |
              qwen-capture --model demo/model --layers 0 |
              act-grad --model demo/model --with-activations |
              grad-aggregate --mode both \\
                --quantity gradient,attribution > all.ts
            grad-report --output report.html all.ts
            printf '0:17\\tdigits\\n' > labels.tsv
            grad-report --labels labels.tsv --sort gradient.mean_abs \\
              --figures gradient.mean --top 50 all.ts > report.html
      """,
    version: packageVersion)

  @Option(
    help: ArgumentHelp("The file to write; an existing one is replaced. (default: standard output)", valueName: "file"),
    completion: .file())
  var output: String?

  @Option(
    help: ArgumentHelp(
      "The output of grad-contexts for these averages. For several files, give the flag once for each.",
      valueName: "file"),
    completion: .file())
  var contexts: [String] = []

  @Option(
    help: ArgumentHelp(
      """
      Output of sae-effect: the true effect of each ablated feature is shown beside what was predicted of it, and features \
      that the prediction misses are marked.
      """, valueName: "file"), completion: .file())
  var effects: String?

  @Option(
    help: ArgumentHelp(
      "Names of features: a file with lines of a feature such as 3:17, a tab, and its name.", valueName: "tsv"),
    completion: .file())
  var labels: String?

  @Option(
    help: ArgumentHelp(
      """
      Link each feature to its Neuronpedia page. The value is Neuronpedia's name of the model and of the \
      autoencoders, such as gemma-2-2b/gemmascope-res-16k.
      """,
      valueName: "set"), transform: Neuronpedia.init)
  var neuronpedia = Neuronpedia?.none

  @Option(
    help: ArgumentHelp(
      """
      The average that ranks the features. (default: attribution.mean_abs if all places have it, otherwise \
      gradient.mean_abs)
      """,
      valueName: "average"), completion: .list(RankingKey.all.map(\.description)), transform: RankingKey.init)
  var sort = RankingKey?.none

  @Option(
    help: ArgumentHelp(
      "Also draw figures of these averages, such as attribution.mean or a list of them.", valueName: "averages"),
    completion: .list(RankingKey.all.map(\.description)),
    transform: { try $0.split(separator: ",").map { try RankingKey(String($0)) } })
  var figures = [RankingKey]()

  @Option(
    help: """
      How many features to list for each place. Features that have contexts or were ablated are listed in any case.
      """)
  var top = 200

  @Option(help: ArgumentHelp("Title of the page. (default: the model's name)", valueName: "words"))
  var title: String?

  @OptionGroup var input: AverageOptions
  @OptionGroup var messages: MessageOptions

  func validate() throws {
    guard (1...10_000).contains(top) else {
      throw ValidationError("--top: expected 1 to 10000, found \(top)")
    }
    try input.checkArrayFlags()
    if contexts.contains("-"), input.files.isEmpty || input.files.contains("-") {
      throw ValidationError("--contexts: expected a file, as standard input is read for the averages")
    }
    if output == nil, standardOutputIsTerminal {
      throw ValidationError("--output: expected a file, as standard output is a terminal")
    }
  }

  func filter() throws {
    if let output { try OutputFile.checkName(output) }
    let contextFiles = contexts.isEmpty ? [] : try InputFile.standardInputOr(contexts)
    var options = ReportOptions()
    (options.ranking, options.figures, options.top) = (sort, figures, top)
    (options.title, options.neuronpedia) = (title, neuronpedia)
    if let labels { options.labels = try FeatureLabels(file: labels).labels }
    let file = try output.map { try OutputFile(path: $0) } ?? .standardOutput()

    let collection = try input.read()
    let all = try collection.sorted()
    var places = try PlaceColumns.byPlace(input.chosen(from: collection))
    if let effects { try places.add(effects: effects) }
    var found = ContextLines()
    for file in contextFiles { try found.read(file) }
    let sizes = Dictionary(all.map { ($0.place, $0.values.count) }) { first, _ in first }
    do { try found.check(against: sizes) } catch { throw error.at("--contexts") }

    try ReportPage(places, found, provenance: Provenance.extending(collection.provenance), options)
      .write(to: file, threads: availableCores())
    try file.finish()
    messages.note("\(grouped(places.count)) place\(places.count == 1 ? "" : "s")\(output.map { " in \($0)" } ?? "")")
  }
}
