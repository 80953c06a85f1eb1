import Aggregation

extension Panel {
  /// How many of a layer's values lie where.
  ///
  /// - Parameter scale: of the page; by default the panel's own.
  static func histogram(
    _ gradients: PlaceAverages, bins: Int, countScale: Axis.Scale, scale: HistogramScale? = nil, style: PanelStyle,
    title: String, subtitle: String?
  ) -> Panel {
    let statistics = gradients.statistics
    let scale = scale ?? HistogramScale([gradients], bins: bins, countScale: countScale)
    let histogram = scale.histogram(gradients, bins: bins)
    let isSigned = gradients.isSigned
    let isCentred = scale.isCentredOnZero
    let isCell = style.hasCompactHeader
    let showsLoss = gradients.quantity != .activation
    return Panel(
      style: style, title: title, subtitle: subtitle, warning: gradients.warning(isCell: isCell),
      legend: style.sharesLegend
        ? .mean("Mean: \(plotNumber(statistics.mean))")
        : histogramLegend(gradients, mean: "Mean: \(plotNumber(statistics.mean))"),
      xText: AxisText(
        axis: scale.xAxis, label: gradients.axisLabel(isCell: isCell),
        showsLossDirection: isCentred && !isCell && showsLoss),
      yText: AxisText(
        axis: scale.yAxis,
        label: isCell
          ? "Count" : "Number of \(gradients.unit.countedThings)\(countScale == .linear ? "" : " (log scale)")",
        areIntegers: true),
      emptyNote: statistics.count == 0 ? "no finite values" : nil
    ) { canvas, plot in
      guard statistics.count > 0 else { return }
      if isCentred { plot.drawZeroLine(on: canvas, isVertical: true) }
      plot.drawBars(of: histogram, on: canvas, isSigned: isSigned)
      let x = plot.x(statistics.mean)
      // No casing here: it would wipe out the bars beside it, which are the tallest.
      canvas.line(
        from: Point(x: x, y: plot.area.y), to: Point(x: x, y: plot.area.maxY), Palette.meanLine, width: style.lineWidth,
        dashes: Canvas.dashes(style))
    }
  }
}

extension Panel {
  static func histogramLegend(_ gradients: PlaceAverages, mean: String) -> Legend {
    let signs = [
      (Palette.negativeBar, gradients.quantity.signs.below), (Palette.positiveBar, gradients.quantity.signs.above),
    ]
    let bars = gradients.isSigned ? signs.map { Legend.Entry(mark: .bar($0), text: $1) } : []
    return Legend(entries: bars + Legend.mean(mean).entries)
  }
}

extension Legend {
  static func mean(_ text: String) -> Legend { Legend(entries: [Entry(mark: .dashedLine, text: text)]) }
}

extension PlaceAverages {
  /// "Signed Mean Gradient"; in a cell, whose page says the mode, "Gradient".
  func axisLabel(isCell: Bool) -> String {
    isCell ? quantity.axisLabel : "\(mode.names.title) \(quantity.axisLabel)"
  }

  /// Signed averages are, unless they all lie on one side, so far from it that little would be seen of their spread.
  var areDrawnAroundZero: Bool {
    guard isSigned else { return false }
    let (low, high) = (statistics.minimum, statistics.maximum)
    return !(low > 0 || high < 0) || high - low > statistics.maximumMagnitude / 4
  }

  func warning(isCell: Bool) -> String? {
    statistics.exclusions.map {
      isCell ? "\(statistics.notANumber.count + statistics.infinite.count) not finite" : "Left out: \($0)"
    }
  }
}

extension Panel.Plot {
  func drawZeroLine(on canvas: Canvas, isVertical: Bool) {
    let (start, end) =
      isVertical
      ? (Point(x: x(0), y: area.y), Point(x: x(0), y: area.maxY))
      : (Point(x: area.x, y: y(0)), Point(x: area.maxX, y: y(0)))
    canvas.line(from: start, to: end, Palette.zero, width: 0.8)
  }

  /// A bar for every bin that has counts, at least a pixel high: where a few values lie is the point of the picture
  /// as much as where most of them do.
  fileprivate func drawBars(of histogram: Histogram, on canvas: Canvas, isSigned: Bool) {
    let base = area.maxY
    let zero = canvas.snapped(x(0))
    var below: [Rectangle] = []
    var above: [Rectangle] = []
    let binWidth = (x(histogram.edges[1]) - x(histogram.edges[0]))
    let gap = binWidth > 4 ? 0.5 : 0
    for (bin, count) in histogram.counts.enumerated() where count > 0 {
      let left = canvas.snapped(x(histogram.edges[bin]))
      let right = max(canvas.snapped(x(histogram.edges[bin + 1])) - gap, left + 1 / canvas.resolution)
      let top = min(canvas.snapped(y(Double(count))), base - 1 / canvas.resolution)
      let bar = Rectangle(x: left, y: top, width: right - left, height: base - top)
      if !isSigned || bar.maxX <= zero {
        below.append(bar)
      } else if bar.x >= zero {
        above.append(bar)
      } else {
        below.append(Rectangle(x: bar.x, y: bar.y, width: zero - bar.x, height: bar.height))
        above.append(Rectangle(x: zero, y: bar.y, width: bar.maxX - zero, height: bar.height))
      }
    }
    canvas.fill(below, isSigned ? Palette.negativeBar : Palette.absoluteBar)
    canvas.fill(above, Palette.positiveBar)
  }
}
