/// What stands above the plots of a page: its title, and under it a word about the data and the legend they share.
/// Broken into lines where the page is narrow.
struct Heading {
  private static let titleSize = 18.0
  private let style = PanelStyle.page
  private let titleLines: [String]
  private let subtitle: String
  private let legendLines: [Legend]
  private let legendIsBesideSubtitle: Bool

  /// - Parameter width: what the lines may take.
  init(title: String, subtitle: String, legend: Legend, width: Double) {
    let canvas = Canvas.forMeasuring()
    let style = style
    titleLines = brokenIntoLines(title.split(separator: " "), width: width) {
      canvas.width(of: $0.joined(separator: " "), size: Self.titleSize, weight: .bold)
    }.map { $0.joined(separator: " ") }
    self.subtitle = subtitle
    let indent = canvas.width(of: subtitle, size: style.textSize) + 3 * style.gap
    legendIsBesideSubtitle = indent + legend.width(on: canvas, style) <= width
    legendLines =
      legendIsBesideSubtitle
      ? [legend]
      : brokenIntoLines(legend.entries, width: width) { Legend(entries: Array($0)).width(on: canvas, style) }
        .map { Legend(entries: Array($0)) }
  }

  private var lineHeight: Double { style.textSize * 1.7 }

  var height: Double {
    let lines = legendIsBesideSubtitle ? 1 : 1 + legendLines.count
    return Double(titleLines.count) * Self.titleSize * 1.4 + Double(lines) * lineHeight
  }

  func draw(on canvas: Canvas, at corner: Point) {
    var baseline = corner.y - Self.titleSize * 0.4
    for line in titleLines {
      baseline += Self.titleSize * 1.4
      canvas.text(line, at: Point(x: corner.x, y: baseline), size: Self.titleSize, weight: .bold)
    }
    baseline += Self.titleSize * 0.4 + style.textSize * 1.2
    canvas.text(subtitle, at: Point(x: corner.x, y: baseline), size: style.textSize, color: Palette.quietText)
    var left = corner.x
    if legendIsBesideSubtitle { left += canvas.width(of: subtitle, size: style.textSize) + 3 * style.gap }
    for line in legendLines {
      if !legendIsBesideSubtitle { baseline += lineHeight }
      line.draw(on: canvas, left: left, baseline: baseline, style)
    }
  }
}

/// As many elements a line as fit into `width`, and at least one.
package func brokenIntoLines<Element>(
  _ elements: [Element], width: Double, measure: (ArraySlice<Element>) -> Double
) -> [ArraySlice<Element>] {
  var lines: [ArraySlice<Element>] = []
  var start = 0
  for end in elements.indices where end > start && measure(elements[start...end]) > width {
    lines.append(elements[start..<end])
    start = end
  }
  return start < elements.count ? lines + [elements[start...]] : lines
}
