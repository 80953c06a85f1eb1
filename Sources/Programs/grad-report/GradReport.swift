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
    abstract: "Averages and contexts as one page of HTML that needs nothing else.",
    discussion: """
      The page opens from disk and from a mail and asks nothing of any network: the run in words, layers beside one \
      another, and of each layer a histogram, a scatter plot and a table of its first features, with the texts that \
      grad-contexts found where they count most. #mlp_out.2/17 behind its address leads to a feature. All rows and all \
      data behind the figures can be taken from it as TSV.

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
    help: ArgumentHelp("The page; made anew. (default: standard output)", valueName: "file"), completion: .file())
  var output: String?

  @Option(
    help: ArgumentHelp(
      "What grad-contexts wrote of these averages' features; of several files once each.", valueName: "file"),
    completion: .file())
  var contexts: [String] = []

  @Option(
    help: ArgumentHelp(
      """
      What sae-effect wrote of features: their true effects on the loss stand beside the predicted ones, and those that \
      the prediction misses are marked.
      """, valueName: "file"), completion: .file())
  var effects: String?

  @Option(
    help: ArgumentHelp(
      "What features are called: lines such as 3:17, a tab and the words.", valueName: "tsv"), completion: .file())
  var labels: String?

  @Option(
    help: ArgumentHelp(
      "Link each feature to Neuronpedia, where this set is its model and autoencoders: gemma-2-2b/gemmascope-res-16k.",
      valueName: "set"), transform: Neuronpedia.init)
  var neuronpedia = Neuronpedia?.none

  @Option(
    help: ArgumentHelp(
      "The average that ranks. (default: attribution.mean_abs where all places have it, else gradient.mean_abs)",
      valueName: "average"), completion: .list(RankingKey.all.map(\.description)), transform: RankingKey.init)
  var sort = RankingKey?.none

  @Option(
    help: ArgumentHelp(
      "Averages that have figures as well, such as attribution.mean, or a list of them.", valueName: "averages"),
    completion: .list(RankingKey.all.map(\.description)),
    transform: { try $0.split(separator: ",").map { try RankingKey(String($0)) } })
  var figures = [RankingKey]()

  @Option(help: "So many of each place are listed, besides what has contexts or effects.")
  var top = 200

  @Option(help: ArgumentHelp("What stands above the page. (default: the model's name)", valueName: "words"))
  var title: String?

  @OptionGroup var input: AverageOptions
  @OptionGroup var messages: MessageOptions

  func validate() throws {
    guard (1...10_000).contains(top) else {
      throw ValidationError("--top: expected 1 to 10000, found \(top)")
    }
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
