import Aggregation
import ArgumentParser
import FilterSupport
import Glibc
import Plotting
import SystemIO

@main
struct GradPlot: Filter {
  static let configuration = CommandConfiguration(
    commandName: "grad-plot",
    abstract: "Draw averaged gradients: histograms and scatter plots of every layer and of all.",
    discussion: """
      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt |
              qwen-capture --model demo/model --layers 0 |
              act-grad --model demo/model |
              grad-aggregate --mode both --save out | grad-plot --output out
            grad-plot --unit activation --format pdf --log-counts --output pdf \\
              out/layer_*_mean_gradients.npy
            grad-plot --text --top 5 out/layer_2_mean_abs_gradients.npy
      Arrays give their layer and mode by their names (layer_11_mean_abs_gradients.npy) or by --layer and --mode.
      """,
    version: packageVersion)

  @Option(help: "Folder for the pictures; made where it is missing.", completion: .directory)
  var output = "."

  @Option(help: "png, svg or pdf; the vector formats hold clouds of more than 4096 points as pixels.")
  var format = PlotFormat.png

  @Option(help: "Dots an inch: of the pictures, and of the pixels in vector formats.")
  var dpi = 150.0

  @Option(help: "What the values belong to, feature or activation. (default: what the stream says; arrays: feature)")
  var unit: GradientUnit?

  @Option(help: "Mode of arrays whose names tell none. (default: mean where a value is negative, else mean_abs)")
  var mode: AveragingMode?

  @Option(help: "Layer of the first array whose name tells none; the next such arrays are the next layers.")
  var layer = 0

  @Option(
    help: "Layers to draw, such as 0-23, 0,5,10 or all. (default: all)", completion: .layers, transform: LayerList.asked
  )
  var layers = LayerList?.none

  @Option(help: "How many of the largest absolute values are starred, 0 for none, or listed by --text.")
  var top = 20

  @Option(help: "Bins of the histograms. (default: 100, and 50 where all layers share a page)")
  var bins: Int?

  @Flag(help: "Logarithmic counts, which show the few values far from the rest.")
  var logCounts = false

  @Option(help: "Plots in a row where all layers share a page.")
  var columns = 6

  @Flag(help: "Print statistics and the largest values instead of drawing.")
  var text = false

  @Flag(help: "As --text, separated by tabs, for programs.")
  var tsv = false

  @Option(help: "Pictures drawn at a time. (default: the cores this process may use)")
  var threads: Int?

  @OptionGroup var messages: MessageOptions

  @Argument(
    help: "Streams of aggregates, arrays (.npy), or both; - or nothing: a stream on standard input.",
    completion: .file())
  var files: [String] = []

  func validate() throws {
    try check("--dpi", dpi, in: 10...2400)
    try check("--layer", layer, in: 0...9999)
    try check("--top", top, in: 0...100_000)
    try check("--bins", bins ?? 1, in: 1...100_000)
    try check("--columns", columns, in: 1...1000)
    try check("--threads", threads ?? 1, in: 1...1024)
    if (text || tsv) && top == 0 {
      throw ValidationError("--top: expected at least 1 with \(text ? "--text" : "--tsv"), found 0")
    }
  }

  private func check<Value: Comparable>(_ name: String, _ value: Value, in range: ClosedRange<Value>) throws {
    guard !range.contains(value) else { return }
    throw ValidationError("\(name): expected \(range.lowerBound) to \(range.upperBound), found \(value)")
  }

  func filter() throws {
    if !text && !tsv { try checkOutputFolder(output) }
    var defaults = GradientCollection.Defaults()
    (defaults.unit, defaults.mode, defaults.nextLayer) = (unit, mode, layer)
    var collection = GradientCollection(defaults)
    for file in try InputFile.standardInputOr(files) { try collection.read(file.name) }
    let gradients = try collection.sorted(layers: layers?.layers)
    if text || tsv {
      let out = OutputFile.standardOutput()
      try out.write(gradientTable(gradients, top: top, isTabSeparated: tsv))
      return try out.finish()
    }
    try collection.checkUnit(of: gradients)
    for gradients in gradients {
      guard let exclusions = gradients.statistics.exclusions else { continue }
      warn("\(gradients.place), \(gradients.mode.names.flag): left out: \(exclusions)")
    }
    try makeFolder(output)
    let set = PlotSet(gradients, options)
    let progress = Progress(unit: "pictures", total: set.plots.count, messages)
    try set.write(
      to: output, as: format, resolution: dpi, metadata: metadata(collection), threads: threads ?? availableCores()
    ) { _ in progress.advance(1) }
    progress.finish(" in \(output)")
  }

  private var options: PlotOptions {
    var options = PlotOptions()
    options.top = top
    options.bins = bins ?? options.bins
    options.gridBins = bins ?? options.gridBins
    options.countScale = logCounts ? .logarithmic : .linear
    options.columns = columns
    return options
  }

  private func metadata(_ collection: GradientCollection) -> [(key: String, value: String)] {
    Provenance.extending(collection.provenance).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }
}

extension PlotFormat: ExpressibleByArgument {}
extension GradientUnit: ExpressibleByArgument {}

extension AveragingMode: ExpressibleByArgument {
  public static var allValueStrings: [String] { allCases.map(\.names.flag) }
  public static var defaultCompletionKind: CompletionKind { .list(allValueStrings) }

  public init?(argument: String) { self.init(\.flag, argument) }
}
