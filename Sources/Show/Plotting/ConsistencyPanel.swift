import Aggregation

extension Panel {
  /// The signed mean of every feature or dimension against its mean_abs: on the diagonals all of its values have one sign,
  /// near zero they cancel.
  ///
  /// - Parameter scale: of the page; by default the panel's own.
  static func consistency(
    _ signed: PlaceAverages, _ absolute: PlaceAverages, top: Int, scale: ConsistencyScale? = nil
  ) -> Panel {
    let scale = scale ?? ConsistencyScale([(signed, absolute)])
    let starred = absolute.starred(top)
    let quantity = signed.quantity
    let isSigned = signed.isSigned
    let count = signed.statistics.count
    return Panel(
      style: .cell, title: "Layer \(signed.place.layer)", subtitle: nil, warning: signed.warning(isCell: true),
      legend: Legend(entries: []),
      xText: AxisText(axis: Axis(low: 0, high: scale.width), label: "Mean Absolute \(quantity.axisLabel)"),
      yText: AxisText(
        axis: Axis(low: isSigned ? -scale.height : 0, high: scale.height), label: "Signed Mean \(quantity.axisLabel)"),
      emptyNote: count == 0 || absolute.statistics.count == 0 ? "no finite values" : nil
    ) { canvas, plot in
      let origin = Point(x: plot.x(0), y: plot.y(0))
      if isSigned { plot.drawZeroLine(on: canvas, isVertical: false) }
      for end in isSigned ? [scale.width, -scale.width] : [scale.width] {
        canvas.line(
          from: origin, to: Point(x: plot.x(scale.width), y: plot.y(end)), Palette.zero, width: 0.8,
          dashes: Canvas.dashes(plot.style))
      }
      func point(_ index: Int) -> Point { Point(x: plot.x(absolute.values[index]), y: plot.y(signed.values[index])) }
      let indices = signed.values.indices.filter { signed.values[$0].isFinite && absolute.values[$0].isFinite }
      plot.drawPoints(
        indices.map(point), of: signed.values.count, span: plot.area.x...plot.area.maxX, isSigned: isSigned, on: canvas)
      plot.drawStars(
        starred.filter { signed.values[$0].isFinite }.map { ($0, point($0)) }, bars: [], avoiding: [], on: canvas)
    }
  }

  static func consistencyLegend(_ signed: PlaceAverages, starred: Int) -> Legend {
    let points = scatterLegend(signed, starred: starred, mean: "").entries.dropLast()
    return Legend(
      entries: points.filter { if case .whiskers = $0.mark { false } else { true } }
        + [Legend.Entry(mark: .dashedLine, text: "one sign alone")])
  }
}

/// The axes of such a plot, or of all that share a page: to a little beyond the largest mean_abs, and the largest |mean|.
struct ConsistencyScale {
  let width: Double
  let height: Double

  init(_ pairs: [(signed: PlaceAverages, absolute: PlaceAverages)]) {
    width = Self.reach(pairs.map(\.absolute))
    height = min(width, Self.reach(pairs.map(\.signed)))
  }

  private static func reach(_ all: [PlaceAverages]) -> Double {
    let largest = all.map(\.statistics.maximumMagnitude).filter(\.isFinite).max() ?? 0
    return largest > PlaceAverages.smallestSpread ? min(largest, .greatestFiniteMagnitude / 4) * 1.1 : 1
  }
}
