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
    abstract: "Draw averages as histograms and scatter plots with error bars, one per layer and one of all layers.",
    discussion: """
      The layer and mode of an array are read from its file name, such as layer_11_mean_abs_gradients.npy, or given by \
      --layer and --mode.

      \(exampleFiles)

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt |
              qwen-capture --model demo/model --layers 0 |
              act-grad --model demo/model |
              grad-aggregate --mode both --save out | grad-plot --output out
            grad-plot --unit activation --format pdf --log-counts --output pdf \\
              out/layer_*_mean_gradients.npy
            grad-plot --layer-profile --common-scale --output profile \\
              out/layer_*_gradients.npy
      """,
    version: packageVersion)

  @Option(help: "Folder for the pictures. It is created if missing.", completion: .directory)
  var output = "."

  @Option(help: "File format. In svg and pdf, scatter plots of more than 4096 points are embedded as pixels.")
  var format = PlotFormat.png

  @Option(help: "Resolution in dots per inch, also of the embedded pixels in svg and pdf.")
  var dpi = 150.0

  @Option(help: "How many of the largest absolute values to mark with a star; 0 marks none.")
  var top = 20

  @Option(help: "Bins of the histograms. (default: 100; 50 in the pictures of all layers)")
  var bins: Int?

  @Flag(help: "Draw the counts of histograms on a logarithmic scale, so that single outliers are visible.")
  var logCounts = false

  @Option(help: "Plots per row in the pictures of all layers.")
  var columns = 6

  @Flag(help: "In the pictures of all layers, draw every layer on the same scale instead of each on its own.")
  var commonScale = false

  @Flag(
    help: """
      Also draw the distributions of all layers side by side on one scale, and the signed mean against mean_abs, \
      which shows where values of both signs cancel.
      """)
  var layerProfile = false

  @Option(
    help: "What to draw: gradient, attribution, activation, or a list of them. (default: everything in the input)")
  var quantity: Quantities?

  @Option(help: "How many pictures to draw at a time. (default: the number of cores that this process may use)")
  var threads: Int?

  @OptionGroup var input: AverageOptions
  @OptionGroup var messages: MessageOptions

  func validate() throws {
    try check("--dpi", dpi, in: 10...2400)
    try check("--top", top, in: 0...100_000)
    try check("--bins", bins ?? 1, in: 1...100_000)
    try check("--columns", columns, in: 1...1000)
    try check("--threads", threads ?? 1, in: 1...1024)
    try input.checkArrayFlags()
  }

  private func check<Value: Comparable>(_ name: String, _ value: Value, in range: ClosedRange<Value>) throws {
    guard !range.contains(value) else { return }
    throw ValidationError("\(name): expected \(range.lowerBound) to \(range.upperBound), found \(value)")
  }

  func filter() throws {
    try checkOutputFolder(output)
    let collection = try input.read()
    let averages = try wanted(input.chosen(from: collection))
    for averages in averages {
      guard let exclusions = averages.statistics.exclusions else { continue }
      warn("\(averages.place), \(averages.measure.name): left out: \(exclusions)")
    }
    try makeFolder(output)
    let set = PlotSet(averages, options)
    let progress = Progress(unit: "pictures", total: set.plots.count, messages)
    try set.write(
      to: output, as: format, resolution: dpi, metadata: metadata(collection), threads: threads ?? availableCores()
    ) { _ in progress.advance(1) }
    progress.finish(" in \(output)")
  }

  /// Without firing, which has no pictures.
  private func wanted(_ all: [PlaceAverages]) throws -> [PlaceAverages] {
    let drawn = all.filter { $0.measure.quantity.map { quantity?.quantities.contains($0) ?? true } ?? false }
    guard drawn.isEmpty else { return drawn }
    let found = Set(all.map { $0.measure.quantity?.rawValue ?? $0.measure.name }).sorted().joined(separator: ", ")
    let wanted = Quantity.allCases.filter { quantity?.quantities.contains($0) ?? true }.map { "\($0.rawValue)s" }
    throw Failure(
      .malformed, "expected averages of \(wanted.joined(separator: ", ")) to draw, found \(found)"
    )
  }

  private var options: PlotOptions {
    var options = PlotOptions()
    options.top = top
    options.bins = bins ?? options.bins
    options.gridBins = bins ?? options.gridBins
    options.countScale = logCounts ? .logarithmic : .linear
    options.columns = columns
    options.usesCommonScale = commonScale
    options.showsLayerProfile = layerProfile
    return options
  }

  private func metadata(_ collection: AverageCollection) -> [(key: String, value: String)] {
    Provenance.extending(collection.provenance).sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }
}

extension PlotFormat: ExpressibleByArgument {}
