import Aggregation
import SystemIO

/// What the user may choose of the pictures.
public struct PlotOptions: Sendable {
  /// Bins of a histogram that has a page to itself, or half of one.
  public var bins = 100
  /// Bins of a histogram on a page of many.
  public var gridBins = 50
  /// How many of the largest |values| are starred.
  public var top = 20
  public var countScale = Axis.Scale.linear
  /// Of the pages of many layers.
  public var columns = 6
  /// All plots of such a page on one scale, instead of each on its own.
  public var usesCommonScale = false
  /// Also how the layers' values are distributed, side by side, and what is consistent of them.
  public var showsLayerProfile = false

  public init() {}
}

let inch = 72.0
private let border = 10.0

// MARK: One place, one mode

extension Figure {
  public static func histogram(_ gradients: PlaceAverages, _ options: PlotOptions = PlotOptions()) -> Figure {
    let title =
      "\(gradients.place.title): \(gradients.subject) Distribution (\(gradients.mode.names.title))"
    let panel = Panel.histogram(
      gradients, bins: options.bins, countScale: options.countScale, style: .page, title: title,
      subtitle: "\(gradients.total)    \(gradients.numbers)")
    return page(panel, width: 10 * inch, height: 5.6 * inch)
  }

  public static func scatter(_ gradients: PlaceAverages, _ options: PlotOptions = PlotOptions()) -> Figure {
    let title =
      "\(gradients.place.title): \(gradients.subject) Scatter Plot (\(gradients.mode.names.title))"
    let panel = Panel.scatter(
      gradients, top: options.top, style: .page, title: title, subtitle: "\(gradients.total)    \(gradients.numbers)")
    return page(panel, width: 11.6 * inch, height: 5.8 * inch)
  }

  static func page(_ panel: Panel, width: Double, height: Double) -> Figure {
    Figure(width: width, height: height, title: panel.title) { canvas in
      panel.draw(on: canvas, in: room(width: width, height: height))
    }
  }

  /// What a page has room for within its border.
  static func room(width: Double, height: Double) -> Rectangle {
    Rectangle(x: 0, y: 0, width: width, height: height).inset(by: border)
  }
}

// MARK: One place, both modes

extension Figure {
  public static func combinedHistogram(_ pair: [PlaceAverages], _ options: PlotOptions = PlotOptions()) -> Figure {
    combined(
      pair.map {
        Panel.histogram(
          $0, bins: options.bins, countScale: options.countScale, style: .half, title: $0.mode.names.title,
          subtitle: $0.numbers)
      }, of: pair)
  }

  public static func combinedScatter(_ pair: [PlaceAverages], _ options: PlotOptions = PlotOptions()) -> Figure {
    combined(
      pair.map {
        Panel.scatter($0, top: options.top, style: .half, title: $0.mode.names.title, subtitle: $0.numbers)
      }, of: pair)
  }

  /// Only one of the two has signs, so each panel explains its own marks.
  private static func combined(_ panels: [Panel], of pair: [PlaceAverages]) -> Figure {
    let first = pair[0]
    return rows(
      of: panels, columns: panels.count, cellWidth: 8.6 * inch, cellHeight: 5.4 * inch,
      title: "\(first.place.title): \(first.subject) Comparison", subtitle: first.total,
      legend: Legend(entries: []))
  }
}

// MARK: All layers at one site

extension Figure {
  public static func histograms(_ layers: [PlaceAverages], _ options: PlotOptions = PlotOptions()) -> Figure {
    let scale =
      options.usesCommonScale
      ? HistogramScale(layers, bins: options.gridBins, countScale: options.countScale) : nil
    let panels = layers.map {
      Panel.histogram(
        $0, bins: options.gridBins, countScale: options.countScale, scale: scale, style: .cell,
        title: "Layer \($0.place.layer)", subtitle: nil)
    }
    return allLayers(
      panels, of: layers, kind: "Distribution", columns: options.columns,
      legend: Panel.histogramLegend(layers.first(where: \.isSigned) ?? layers[0], mean: "Mean"))
  }

  public static func scatters(_ layers: [PlaceAverages], _ options: PlotOptions = PlotOptions()) -> Figure {
    let scale = options.usesCommonScale ? ScatterScale(layers, top: options.top) : nil
    let panels = layers.map {
      Panel.scatter($0, top: options.top, scale: scale, style: .cell, title: "Layer \($0.place.layer)", subtitle: nil)
    }
    let largest = layers.max { $0.values.count < $1.values.count } ?? layers[0]
    let starred = layers.map { $0.starred(options.top).count }.max() ?? 0
    return allLayers(
      panels, of: layers, kind: "Scatter", columns: options.columns,
      legend: Panel.scatterLegend(largest, starred: starred, mean: "Mean"))
  }

  private static func allLayers(
    _ panels: [Panel], of layers: [PlaceAverages], kind: String, columns: Int, legend: Legend
  ) -> Figure {
    rows(
      of: panels, columns: min(columns, panels.count), cellWidth: 4.6 * inch, cellHeight: 3.1 * inch,
      title: layers.title(kind, layers[0].mode.names.title), subtitle: layers.sizes, legend: legend)
  }

  /// Panels row by row under a title, their plot areas aligned.
  static func rows(
    of panels: [Panel], columns: Int, cellWidth: Double, cellHeight: Double, title: String, subtitle: String,
    legend: Legend
  ) -> Figure {
    let rows = (panels.count + columns - 1) / columns
    let width = Double(columns) * cellWidth + border
    let heading = Heading(title: title, subtitle: subtitle, legend: legend, width: width - 8 * border)
    let header = border + heading.height + border
    return Figure(width: width, height: header + Double(rows) * cellHeight + border, title: title) { canvas in
      let cells = panels.indices.map { index in
        Rectangle(
          x: border / 2 + Double(index % columns) * cellWidth, y: header + Double(index / columns) * cellHeight,
          width: cellWidth, height: cellHeight
        ).inset(by: border / 2)
      }
      let margins = zip(panels, cells).map { $0.margins(on: canvas, in: $1) }
        .reduce(Panel.Margins(top: 0, left: 0, bottom: 0, right: 0)) { $0.maximum($1) }
      heading.draw(on: canvas, at: Point(x: border + margins.left, y: border))
      for (panel, cell) in zip(panels, cells) { panel.draw(on: canvas, in: cell, margins: margins) }
    }
  }
}

extension PlaceAverages {
  /// "SAE Feature Gradient"; of an activation's own average "Activation".
  var subject: String { unit.subject == quantity.title ? quantity.title : "\(unit.subject) \(quantity.title)" }
}

extension [PlaceAverages] {
  /// "SAE Feature Gradient Scatter – All Layers at resid_post (Signed Mean)", of the layers of one site.
  func title(_ kind: String, _ remark: String) -> String {
    let site = self[0].place.site
    return "\(self[0].subject) \(kind) – All Layers\(site == .mlpOut ? "" : " at \(site.rawValue)") (\(remark))"
  }

  /// "24 layers of 65,536 features each"
  var sizes: String {
    let isEven = Set(map(\.values.count)).count == 1
    return "\(count) layers" + (isEven ? " of \(grouped(self[0].values.count)) \(self[0].unit.shortThings) each" : "")
  }
}
