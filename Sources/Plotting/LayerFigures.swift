import GradientStatistics

/// What the user may choose of the pictures.
public struct PlotOptions: Sendable {
  /// Bins of a histogram that has a page to itself, and of one in a grid of layers.
  public var bins = 100
  public var gridBins = 50
  /// How many of the largest |values| are starred.
  public var top = 20
  public var countScale = Axis.Scale.linear
  public var columns = 6

  public init() {}
}

extension Figure {
  private static let inch = 72.0
  private static let border = 10.0

  private static func page(_ panel: Panel, width: Double, height: Double) -> Figure {
    let bounds = Rectangle(x: 0, y: 0, width: width * inch, height: height * inch).inset(by: border)
    return Figure(width: width * inch, height: height * inch, title: panel.title) { panel.draw(on: $0, in: bounds) }
  }

  public static func histogram(_ gradients: LayerGradients, _ options: PlotOptions = PlotOptions()) -> Figure {
    let title =
      "Layer \(gradients.layer): \(gradients.unit.subject) Gradient Distribution (\(gradients.mode.title))"
    let panel = Panel.histogram(
      gradients, bins: options.bins, countScale: options.countScale, style: .page, title: title,
      subtitle: gradients.summary)
    return page(panel, width: 10, height: 5.6)
  }

  public static func scatter(_ gradients: LayerGradients, _ options: PlotOptions = PlotOptions()) -> Figure {
    let title = "Layer \(gradients.layer): \(gradients.unit.subject) Gradient Scatter Plot (\(gradients.mode.title))"
    let panel = Panel.scatter(gradients, top: options.top, style: .page, title: title, subtitle: gradients.summary)
    return page(panel, width: 11.6, height: 5.8)
  }
}

extension LayerGradients {
  /// "65,536 features   Max: 7.90×10⁻⁴   Mean: 3.47×10⁻⁴   Std: 2.99×10⁻⁵"
  var summary: String {
    let numbers = [
      ("Max |gradient|", statistics.maximumMagnitude), ("Mean", statistics.mean), ("Std", statistics.standardDeviation),
    ].map { "\($0): \(PlotText.number($1))" }
    let total = "Total \(unit == .feature ? "Features" : "Dimensions"): \(DecimalText.grouped(values.count))"
    return ([total] + numbers).joined(separator: "    ")
  }
}
