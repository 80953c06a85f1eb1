/// Sizes in points, for a plot that fills a page and for one among many.
struct PanelStyle {
  let titleSize: Double
  let textSize: Double
  let tickSize: Double
  let starLabelSize: Double
  let starRadius: Double
  let lineWidth: Double
  /// Between neighbouring elements: a label and its axis, one row of the header and the next.
  let gap: Double
  let rightMargin: Double
  /// The legend stands beside the title, and nothing below it.
  let hasCompactHeader: Bool
  /// The page explains the marks; the plot's own legend gives its mean.
  let sharesLegend: Bool

  static let page = PanelStyle(
    titleSize: 14, textSize: 10.5, tickSize: 10, starLabelSize: 8, starRadius: 6, lineWidth: 1.5, gap: 6,
    rightMargin: 18, hasCompactHeader: false, sharesLegend: false)
  static let half = PanelStyle(
    titleSize: 12, textSize: 10, tickSize: 9.5, starLabelSize: 7.5, starRadius: 5.5, lineWidth: 1.4, gap: 6,
    rightMargin: 18, hasCompactHeader: false, sharesLegend: false)
  static let cell = PanelStyle(
    titleSize: 10, textSize: 8, tickSize: 7.5, starLabelSize: 6.5, starRadius: 3.6, lineWidth: 1, gap: 4,
    rightMargin: 12, hasCompactHeader: true, sharesLegend: true)
}
