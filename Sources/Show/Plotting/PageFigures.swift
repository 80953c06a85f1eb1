import Aggregation

// What stands in a page of HTML.

extension Figure {
  /// An element `svg` to stand in a page of HTML, which says in its style what its colours and its font are: custom
  /// properties `--plot-ink`, `--plot-quiet`, `--plot-grid`, `--plot-zero`, `--plot-mean`, `--plot-ground` and
  /// `--plot-warning`; the class `cloud` is that of raster images.
  ///
  /// - Parameter resolution: pixels a point, of raster images.
  package func markup(resolution: Double) -> String {
    let canvas = MarkupCanvas(measuringAt: resolution)
    draw(canvas)
    return "<svg viewBox=\"0 0 \(Int(width.rounded())) \(Int(height.rounded()))\" role=\"img\" "
      + "aria-label=\"\(Self.escaped(title).replacing("\"", with: "&quot;"))\">\(canvas.markup)</svg>"
  }

  /// The plot area of a scatter plot, and what it spans: where a value at an index falls.
  package struct ScatterArea: Sendable {
    package let area: Rectangle
    package let xAxis: Axis
    package let yAxis: Axis
  }

  /// A histogram of the width of a column of a page.
  package static func columnHistogram(_ averages: PlaceAverages, _ options: PlotOptions) -> Figure {
    page(
      .histogram(
        averages, bins: options.bins, countScale: options.countScale, style: .page,
        title: "Distribution of \(averages.name)", subtitle: averages.numbers),
      width: columnWidth, height: columnHeight)
  }

  /// A scatter plot of the width of a column of a page; nil of its area where there is no room, which cannot be.
  package static func columnScatter(
    _ averages: PlaceAverages, _ options: PlotOptions
  ) -> (figure: Figure, area: ScatterArea?) {
    let panel = Panel.scatter(
      averages, top: options.top, style: .page, title: "\(averages.name) of every \(averages.unit.thing)", subtitle: nil
    )
    let plot = panel.plot(on: .forMeasuring(), in: room(width: columnWidth, height: columnHeight))
    return (
      page(panel, width: columnWidth, height: columnHeight),
      plot.map { ScatterArea(area: $0.area, xAxis: $0.xAxis, yAxis: $0.yAxis) }
    )
  }

  private static let columnWidth = 720.0
  private static let columnHeight = 340.0
}

extension PlaceAverages {
  /// "attribution.mean_abs", as flags and tables spell it.
  fileprivate var name: String { "\(quantity.rawValue).\(mode.names.flag)" }
}

extension GradientUnit {
  fileprivate var thing: String { self == .feature ? "feature" : "dimension" }
}
