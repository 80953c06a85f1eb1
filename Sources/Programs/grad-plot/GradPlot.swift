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
      Arrays give their layer and mode by their names (layer_11_mean_abs_gradients.npy) or by --layer and --mode.
      """,
    version: packageVersion)

  @Option(help: "Folder for the pictures; made where it is missing.", completion: .directory)
  var output = "."

  @Option(help: "png, svg or pdf; the vector formats hold clouds of more than 4096 points as pixels.")
  var format = PlotFormat.png

  @Option(help: "Dots an inch: of the pictures, and of the pixels in vector formats.")
  var dpi = 150.0

  @Option(help: "How many of the largest absolute values are starred, 0 for none.")
  var top = 20

  @Option(help: "Bins of the histograms. (default: 100, and 50 where all layers share a page)")
  var bins: Int?

  @Flag(help: "Logarithmic counts, which show the few values far from the rest.")
  var logCounts = false

  @Option(help: "Plots in a row where all layers share a page.")
  var columns = 6

  @Option(help: "Pictures drawn at a time. (default: the cores this process may use)")
  var threads: Int?

  @OptionGroup var input: AverageOptions
  @OptionGroup var messages: MessageOptions

  func validate() throws {
    try check("--dpi", dpi, in: 10...2400)
    try check("--top", top, in: 0...100_000)
    try check("--bins", bins ?? 1, in: 1...100_000)
    try check("--columns", columns, in: 1...1000)
    try check("--threads", threads ?? 1, in: 1...1024)
  }

  private func check<Value: Comparable>(_ name: String, _ value: Value, in range: ClosedRange<Value>) throws {
    guard !range.contains(value) else { return }
    throw ValidationError("\(name): expected \(range.lowerBound) to \(range.upperBound), found \(value)")
  }

  func filter() throws {
    try checkOutputFolder(output)
    let collection = try input.read()
    let gradients = try input.chosen(from: collection).filter { $0.measure.quantity == .gradient }
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

  private func metadata(_ collection: AverageCollection) -> [(key: String, value: String)] {
    Provenance.extending(collection.provenance).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }
}

extension PlotFormat: ExpressibleByArgument {}
