import ArgumentParser
import Glibc
import GradientStatistics
import NumPyFiles
import Plotting
import SystemIO

@main
struct GradPlot: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "grad-plot",
    abstract: "Draw averaged gradients: a histogram and a scatter plot of every layer.",
    discussion: "e.g.  grad-plot --unit activation --output plots layer_*_mean_abs_gradients.npy")

  @Option(help: "Folder for the pictures; made where it is missing.")
  var output = "."

  @Option(help: "png, svg or pdf.")
  var format = PlotFormat.png

  @Option(help: "What the values belong to: feature or activation.")
  var unit = GradientUnit.feature

  @Option(
    help:
      "How the values were averaged, where no name says so: mean or mean_abs. By default mean for arrays with negative values."
  )
  var mode: AveragingMode?

  @Option(help: "Layer of the first file whose name says none; the next such files are the next layers.")
  var layer = 0

  @Option(help: "Dots an inch.")
  var dpi = 150.0

  @Option(help: "How many of the largest absolute values are starred.")
  var top = 20

  @Option(help: "Bins of the histograms.")
  var bins = 100

  @Argument(help: "Arrays (.npy).")
  var files: [String]

  func run() throws {
    do {
      var options = PlotOptions()
      options.top = top
      options.bins = bins
      try makeFolder(output)
      var nextLayer = layer
      for file in files {
        let gradients = try LayerGradients(numPyFile: file, unit: unit, mode: mode, nextLayer: &nextLayer)
        for plot in PlotSet.of([gradients], options) {
          try plot.figure.write(
            to: "\(output)/\(plot.name).\(format.rawValue)", as: format, resolution: dpi, metadata: [("Source", file)])
        }
      }
    } catch let failure as Failure {
      let line = "grad-plot: \(failure.description)\n"
      _ = line.withCString { Glibc.write(STDERR_FILENO, $0, strlen($0)) }
      throw ExitCode(failure.kind.rawValue)
    }
  }
}

extension PlotFormat: ExpressibleByArgument {}
extension GradientUnit: ExpressibleByArgument {}
extension AveragingMode: ExpressibleByArgument {}

extension LayerGradients {
  init(numPyFile path: String, unit: GradientUnit, mode: AveragingMode?, nextLayer: inout Int) throws {
    let (values, precision): ([Double], Histogram.Precision) =
      switch try NumPyVector(path: path) {
      case .float32(let values): (values.map(Double.init), .single)
      case .float64(let values): (values, .double)
      }
    let named = PlotFileNames.parse(path)
    let layer = named?.layer ?? nextLayer
    if named == nil { nextLayer += 1 }
    let mode = named?.mode ?? mode ?? (values.contains { $0 < 0 } ? .mean : .meanAbsolute)
    self.init(layer: layer, mode: mode, unit: unit, values: values, precision: precision)
  }
}

private func makeFolder(_ path: String) throws {
  guard mkdir(path, 0o777) == 0 || errno == EEXIST else {
    throw Failure(.inputOutput, "\(path): cannot create: \(String(cString: strerror(errno)))")
  }
}
