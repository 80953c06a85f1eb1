/// One pair of axes with what belongs around it. The data are drawn by the closure; everything else stands outside
/// the plot area, each thing in room that was measured for it, so that nothing can collide.
struct Panel {
  /// The plot area and its axes: where values fall on the page.
  struct Plot {
    let area: Rectangle
    let xAxis: Axis
    let yAxis: Axis
    let style: PanelStyle

    func x(_ value: Double) -> Double { area.x + xAxis.fraction(of: value) * area.width }
    func y(_ value: Double) -> Double { area.maxY - yAxis.fraction(of: value) * area.height }
  }

  struct AxisText {
    let axis: Axis
    let label: String
    var areIntegers = false
    /// The signed gradient's axis says which way the loss goes.
    var showsLossDirection = false
  }

  /// Room taken beside the plot area.
  struct Margins {
    var top: Double
    var left: Double
    var bottom: Double
    var right: Double

    func maximum(_ other: Margins) -> Margins {
      Margins(
        top: max(top, other.top), left: max(left, other.left), bottom: max(bottom, other.bottom),
        right: max(right, other.right))
    }
  }

  let style: PanelStyle
  let title: String
  var subtitle: String?
  /// What was left out of the picture.
  var warning: String?
  let legend: Legend
  let xText: AxisText
  let yText: AxisText
  /// Said in the middle of a plot that has nothing to show.
  var emptyNote: String?
  let drawData: (Canvas, Plot) -> Void

  private static let lowers = "← lowers the loss"
  private static let raises = "raises the loss →"

  // MARK: Layout

  func margins(on canvas: Canvas, in bounds: Rectangle) -> Margins {
    let top = headerRows(on: canvas, width: bounds.width).reduce(0) { $0 + height($1) } + style.gap
    let bottom =
      style.gap + style.tickSize + style.gap + style.textSize * 1.1 + noteHeight(xText) + style.gap * 0.5
    let ticks = yTicks(on: canvas, height: bounds.height - top - bottom)
    let widest = ticks.labels.map { canvas.width(of: $0, size: style.tickSize) }.max() ?? 0
    let left = style.textSize * 1.2 + noteHeight(yText) + style.gap + widest + style.gap
    return Margins(top: top, left: left, bottom: bottom, right: style.rightMargin)
  }

  private func noteHeight(_ text: AxisText) -> Double { text.showsLossDirection ? style.tickSize * 1.5 : 0 }

  private func yTicks(on canvas: Canvas, height: Double) -> AxisTicks {
    AxisTicks.fitting(
      yText.axis, length: height, gap: style.tickSize * 1.2, atMost: 8, areIntegers: yText.areIntegers
    ) { _ in style.tickSize }
  }

  private func xTicks(on canvas: Canvas, width: Double) -> AxisTicks {
    AxisTicks.fitting(
      xText.axis, length: width, gap: style.tickSize * 1.4, atMost: 10, areIntegers: xText.areIntegers
    ) { canvas.width(of: $0, size: style.tickSize) }
  }

  private enum HeaderRow {
    case title(withLegend: Bool)
    case subtitle(withLegend: Bool)
    case legend
    case warning
  }

  private func height(_ row: HeaderRow) -> Double {
    switch row {
    case .title: style.titleSize * 1.4
    case .subtitle, .legend, .warning: style.textSize * 1.6
    }
  }

  private func headerRows(on canvas: Canvas, width: Double) -> [HeaderRow] {
    let legendWidth = legend.width(on: canvas, style)
    let spare = width - legendWidth - style.rightMargin - 40
    var rows: [HeaderRow] = []
    var isPlaced = legend.entries.isEmpty
    if style.hasCompactHeader {
      isPlaced = canvas.width(of: title, size: style.titleSize, weight: .bold) < spare
      rows.append(.title(withLegend: isPlaced))
    } else {
      rows.append(.title(withLegend: false))
    }
    if let subtitle {
      let fits = !isPlaced && canvas.width(of: subtitle, size: style.textSize) < spare
      rows.append(.subtitle(withLegend: fits))
      isPlaced = isPlaced || fits
    }
    if !isPlaced { rows.append(.legend) }
    if warning != nil { rows.append(.warning) }
    return rows
  }

  /// The room for the data; nil where the rest leaves none.
  func plot(on canvas: Canvas, in bounds: Rectangle, margins: Margins? = nil) -> Plot? {
    let margins = margins ?? self.margins(on: canvas, in: bounds)
    let area = canvas.snapped(
      Rectangle(
        x: bounds.x + margins.left, y: bounds.y + margins.top, width: bounds.width - margins.left - margins.right,
        height: bounds.height - margins.top - margins.bottom))
    guard area.width > 0, area.height > 0 else { return nil }
    return Plot(area: area, xAxis: xText.axis, yAxis: yText.axis, style: style)
  }

  // MARK: Drawing

  /// - Parameter margins: those of the neighbours too, where plots stand in rows and columns.
  func draw(on canvas: Canvas, in bounds: Rectangle, margins: Margins? = nil) {
    guard let plot = plot(on: canvas, in: bounds, margins: margins) else { return }
    let area = plot.area
    let xTicks = xTicks(on: canvas, width: area.width)
    let yTicks = yTicks(on: canvas, height: area.height)

    drawHeader(on: canvas, left: area.x, right: area.maxX, top: bounds.y, width: bounds.width)
    drawGrid(on: canvas, plot, xTicks, yTicks)
    canvas.clipped(to: area) { drawData(canvas, plot) }
    if let emptyNote {
      canvas.text(
        emptyNote, at: Point(x: area.midX, y: area.midY), size: style.textSize, color: Palette.warning, align: .centre)
    }
    drawFrame(on: canvas, plot, xTicks, yTicks)
    drawAxisLabels(on: canvas, bounds, area, xTicks, yTicks)
  }

  private func drawHeader(on canvas: Canvas, left: Double, right: Double, top: Double, width: Double) {
    var y = top
    for row in headerRows(on: canvas, width: width) {
      y += height(row)
      let baseline = y - style.textSize * 0.4
      func drawLegend() {
        legend.draw(on: canvas, left: right - legend.width(on: canvas, style), baseline: baseline, style)
      }
      switch row {
      case .title(let withLegend):
        canvas.text(title, at: Point(x: left, y: baseline), size: style.titleSize, weight: .bold)
        if withLegend { drawLegend() }
      case .subtitle(let withLegend):
        canvas.text(subtitle ?? "", at: Point(x: left, y: baseline), size: style.textSize, color: Palette.quietText)
        if withLegend { drawLegend() }
      case .legend: legend.draw(on: canvas, left: left, baseline: baseline, style)
      case .warning:
        canvas.text(
          warning ?? "", at: Point(x: left, y: baseline), size: style.textSize, weight: .bold, color: Palette.warning)
      }
    }
  }

  private func drawGrid(on canvas: Canvas, _ plot: Plot, _ xTicks: AxisTicks, _ yTicks: AxisTicks) {
    let area = plot.area
    for value in xTicks.values {
      let x = plot.x(value)
      canvas.line(from: Point(x: x, y: area.y), to: Point(x: x, y: area.maxY), Palette.grid, width: 0.5)
    }
    for value in yTicks.values {
      let y = plot.y(value)
      canvas.line(from: Point(x: area.x, y: y), to: Point(x: area.maxX, y: y), Palette.grid, width: 0.5)
    }
  }

  private func drawFrame(on canvas: Canvas, _ plot: Plot, _ xTicks: AxisTicks, _ yTicks: AxisTicks) {
    let area = plot.area
    let tick = style.gap * 0.6
    let width = 0.7
    for (value, label) in zip(xTicks.values, xTicks.labels) {
      let x = plot.x(value)
      canvas.line(from: Point(x: x, y: area.maxY), to: Point(x: x, y: area.maxY + tick), Palette.frame, width: width)
      canvas.text(
        label, at: Point(x: x, y: area.maxY + style.gap + Canvas.capHeight(size: style.tickSize)), size: style.tickSize,
        align: .centre)
    }
    for (value, label) in zip(yTicks.values, yTicks.labels) {
      let y = plot.y(value)
      canvas.line(from: Point(x: area.x - tick, y: y), to: Point(x: area.x, y: y), Palette.frame, width: width)
      canvas.text(
        label, at: Point(x: area.x - style.gap, y: y + Canvas.capHeight(size: style.tickSize) / 2),
        size: style.tickSize, align: .right)
    }
    let corners = [
      Point(x: area.x, y: area.y), Point(x: area.maxX, y: area.y), Point(x: area.maxX, y: area.maxY),
      Point(x: area.x, y: area.maxY),
    ]
    for (start, end) in zip(corners, corners[1...] + corners[..<1]) {
      canvas.line(from: start, to: end, Palette.frame, width: width)
    }
  }

  private func drawAxisLabels(
    on canvas: Canvas, _ bounds: Rectangle, _ area: Rectangle, _ xTicks: AxisTicks, _ yTicks: AxisTicks
  ) {
    var baseline = area.maxY + style.gap + style.tickSize + noteHeight(xText)
    if xText.showsLossDirection {
      canvas.text(Self.lowers, at: Point(x: area.x, y: baseline), size: style.tickSize, color: Palette.quietText)
      canvas.text(
        Self.raises, at: Point(x: area.maxX, y: baseline), size: style.tickSize, color: Palette.quietText, align: .right
      )
    }
    baseline += style.gap * 0.6 + style.textSize
    canvas.text(
      axisLabel(xText.label, xTicks), at: Point(x: area.midX, y: baseline),
      size: style.textSize, align: .centre)

    let widest = yTicks.labels.map { canvas.width(of: $0, size: style.tickSize) }.max() ?? 0
    var right = area.x - style.gap - widest - style.gap
    if yText.showsLossDirection {
      canvas.text(
        Self.lowers, at: Point(x: right, y: area.maxY), size: style.tickSize, color: Palette.quietText, isTurned: true)
      canvas.text(
        Self.raises, at: Point(x: right, y: area.y), size: style.tickSize, color: Palette.quietText, align: .right,
        isTurned: true)
      right -= noteHeight(yText)
    }
    canvas.text(
      axisLabel(yText.label, yTicks), at: Point(x: right, y: area.midY), size: style.textSize,
      align: .centre, isTurned: true)
  }
}
