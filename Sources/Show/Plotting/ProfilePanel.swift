import Aggregation

/// How the values of one layer are distributed.
private struct LayerDistribution {
  let layer: Int
  let statistics: Statistics
  let quartiles: Quartiles?
  /// The largest values and where they are.
  let top: [(index: Int, value: Double)]

  init(_ averages: PlaceAverages, top: Int) {
    layer = averages.place.layer
    statistics = averages.statistics
    quartiles = Quartiles(averages.values)
    self.top = averages.starred(top).map { ($0, averages.values[$0]) }
  }
}

extension Panel {
  /// Beside one another, the distributions of all layers on one scale: middle half, median, extremes, largest values.
  static func profile(_ layers: [PlaceAverages], top: Int, title: String) -> Panel {
    let distributions = layers.map { LayerDistribution($0, top: top) }
    let numbers = distributions.map(\.layer)
    let spacing = zip(numbers, numbers.dropFirst()).map { $1 - $0 }.min() ?? 1
    let axis = valueAxis(distributions)
    let unit = layers[0].unit
    let starred = distributions.map(\.top.count).max() ?? 0
    let isCentred = layers.contains(where: \.areDrawnAroundZero)
    let left = layers.map { $0.statistics.notANumber.count + $0.statistics.infinite.count }.reduce(0, +)
    return Panel(
      style: .page, title: title,
      subtitle: layers.sizes + (axis.scale == .logarithmic ? ", on a logarithmic scale, 0 below the frame" : ""),
      warning: left > 0 ? "Left out: \(left) that are not finite" : nil,
      legend: Legend(
        entries: [
          Legend.Entry(mark: .bar(boxColor), text: "Middle half"), Legend.Entry(mark: .line, text: "Median"),
          Legend.Entry(mark: .whiskers, text: "All"),
        ]
          + (starred > 0
            ? [Legend.Entry(mark: .dot(Palette.positiveBar), text: "Top \(starred) \(unit.shortThings)")] : [])),
      xText: AxisText(
        axis: Axis(
          low: Double(numbers[0]) - 0.7 * Double(spacing), high: Double(numbers.last!) + 0.7 * Double(spacing)),
        label: "Layer", areIntegers: true),
      yText: AxisText(
        axis: axis, label: "\(layers[0].mode.names.title) \(layers[0].quantity.fullAxisLabel)",
        showsLossDirection: isCentred && axis.scale == .linear && layers[0].quantity != .activation),
      emptyNote: distributions.allSatisfy { $0.quartiles == nil } ? "no finite values" : nil
    ) { canvas, plot in
      if isCentred { plot.drawZeroLine(on: canvas, isVertical: false) }
      let room = plot.x(Double(spacing)) - plot.x(0)
      for distribution in distributions { plot.draw(distribution, halfWidth: min(room * 0.3, 30), on: canvas) }
    }
  }

  private static let boxColor = Palette.absolutePoints.stops[0]

  /// A logarithmic one of magnitudes whose largest ones would press all the others onto the frame.
  private static func valueAxis(_ distributions: [LayerDistribution]) -> Axis {
    let some = distributions.filter { $0.quartiles != nil }
    guard let low = some.map(\.statistics.minimum).min(), let high = some.map(\.statistics.maximum).max() else {
      return Axis(low: 0, high: 1)
    }
    let middles = some.map { $0.quartiles!.upper }.filter { $0 > 0 }
    if low >= 0, high > 1e-280, let least = middles.min(), high > 20 * middles.sorted()[middles.count / 2] {
      let lowest =
        some.flatMap { [$0.statistics.minimum, $0.quartiles!.lower, $0.quartiles!.median] }.filter { $0 > 0 }.min()
        ?? least
      // Six powers of ten show what matters; what is less lies below the frame, as 0 does.
      return Axis(low: max(min(lowest, least) / 1.6, high / 1e6), high: high * 1.6, scale: .logarithmic)
    }
    return Axis.averages(minimum: low, maximum: high, isCentredOnZero: false)
  }
}

extension Panel.Plot {
  /// Where a value stands; of a logarithmic axis what is too small stands below the frame.
  private func clippedY(_ value: Double) -> Double {
    yAxis.scale == .logarithmic && !(value > yAxis.low) ? area.maxY + 4 : y(value)
  }

  fileprivate func draw(_ distribution: LayerDistribution, halfWidth: Double, on canvas: Canvas) {
    guard let quartiles = distribution.quartiles else { return }
    let middle = x(Double(distribution.layer))
    let (top, bottom) = (clippedY(quartiles.upper), clippedY(quartiles.lower))
    canvas.whiskers(
      x: middle, from: clippedY(distribution.statistics.maximum), to: clippedY(distribution.statistics.minimum),
      halfWidth: min(halfWidth * 0.4, 4))
    let box = Rectangle(x: middle - halfWidth, y: top, width: 2 * halfWidth, height: max(bottom - top, 1))
    canvas.fill(canvas.snapped(box), Palette.absolutePoints.stops[0])
    canvas.stroke(canvas.snapped(box), Palette.starOutline, width: 0.7)
    let line = clippedY(quartiles.median)
    canvas.line(
      from: Point(x: box.x, y: line), to: Point(x: box.maxX, y: line), Palette.meanLine, width: style.lineWidth)
    let marks = distribution.top.map { (index: $0.index, mark: Point(x: middle, y: clippedY($0.value))) }
    let radius = min(halfWidth * 0.35, 2.6)
    for mark in marks.reversed() {
      canvas.disc(at: mark.mark, radius: radius + 0.7, Palette.starOutline)
      canvas.disc(at: mark.mark, radius: radius, Palette.positiveBar)
    }
    let obstacles =
      marks.map { Rectangle(x: $0.mark.x - radius, y: $0.mark.y - radius, width: 2 * radius, height: 2 * radius) }
      + [box]
    // Labels may not reach into the next layer.
    let column = Rectangle(
      x: middle - halfWidth / 0.6, y: area.y, width: 2 * halfWidth / 0.6, height: area.height)
    label(
      Array(marks.prefix(3)), clearance: radius + 4, avoiding: obstacles, within: column.inset(by: 0.5), on: canvas)
  }
}
