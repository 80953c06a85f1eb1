import Aggregation
import Glibc

extension Panel {
  /// Beyond this many points a cloud is drawn as pixels that show its density; below, as discs that can be told apart.
  static let largestCloudOfDiscs = 4096

  /// Every value of a layer at its index.
  ///
  /// - Parameter scale: of the page; by default the panel's own.
  static func scatter(
    _ gradients: PlaceAverages, top: Int, scale: ScatterScale? = nil, style: PanelStyle, title: String,
    subtitle: String?
  ) -> Panel {
    let statistics = gradients.statistics
    let isCell = style.hasCompactHeader
    let starred = gradients.starred(top)
    let scale = scale ?? ScatterScale([gradients], top: top)
    let isCentred = scale.isCentredOnZero
    let count = gradients.values.count
    let isCloud = count > largestCloudOfDiscs
    let room = max(Double(count) * 0.02, 0.5)

    return Panel(
      style: style, title: title, subtitle: subtitle, warning: gradients.warning(isCell: isCell),
      legend: style.sharesLegend
        ? .mean("Mean: \(plotNumber(statistics.mean))")
        : scatterLegend(gradients, starred: starred.count, mean: "Mean: \(plotNumber(statistics.mean))"),
      xText: AxisText(
        axis: Axis(low: -room, high: Double(max(count - 1, 0)) + room),
        label: isCell ? "Index" : gradients.unit.indexLabel, areIntegers: true),
      yText: AxisText(
        axis: scale.axis, label: gradients.axisLabel(isCell: isCell),
        showsLossDirection: isCentred && !isCell && gradients.quantity != .activation),
      emptyNote: statistics.count == 0 ? "no finite values" : nil
    ) { canvas, plot in
      guard statistics.count > 0 else { return }
      let y = plot.y(statistics.mean)
      let (start, end) = (Point(x: plot.area.x, y: y), Point(x: plot.area.maxX, y: y))
      if isCentred { plot.drawZeroLine(on: canvas, isVertical: false) }
      // The line lies on a cloud, which would bury it, unless the cloud is itself a line of that height; it lies under
      // discs, the nearest of which it would hide.
      let isOnTop = isCloud && !gradients.isConstant
      if !isOnTop { canvas.casedLine(from: start, to: end, style) }
      plot.drawPoints(of: gradients, on: canvas)
      if isOnTop { canvas.casedLine(from: start, to: end, style) }
      let lines = [y, isCentred ? plot.y(0) : y].map {
        Rectangle(x: plot.area.x, y: $0 - 1.5, width: plot.area.width, height: 3)
      }
      plot.drawStars(
        starred.map { ($0, plot.point($0, gradients.values[$0])) }, bars: gradients.errorBars(starred), avoiding: lines,
        on: canvas)
    }
  }

  static func scatterLegend(_ gradients: PlaceAverages, starred: Int, mean: String) -> Legend {
    let isCloud = gradients.values.count > largestCloudOfDiscs
    let signs = gradients.quantity.signs
    let ramps =
      gradients.isSigned
      ? [(Palette.negativePoints, signs.below), (Palette.positivePoints, signs.above)]
      : [(Palette.absolutePoints, isCloud ? "sparse to dense" : gradients.unit == .feature ? "Feature" : "Dimension")]
    var entries = ramps.map { ramp, text in
      Legend.Entry(mark: isCloud ? .ramp(ramp) : .dot(ramp.color(at: discShade)), text: text)
    }
    if starred > 0 { entries.append(Legend.Entry(mark: .star, text: "Top \(starred) \(gradients.unit.shortThings)")) }
    if starred > 0, gradients.standardErrors != nil {
      entries.append(Legend.Entry(mark: .whiskers, text: "± \(errorsInABar) SE"))
    }
    return Legend(entries: entries + Legend.mean(mean).entries)
  }

  /// Where on the ramp the colour of single discs lies.
  static let discShade = 0.4

  /// How many standard errors a bar reaches to each side.
  static let errorsInABar = 2
}

extension PlaceAverages {
  /// The indices of the values that get a star. Where all is zero, nothing stands out.
  func starred(_ top: Int) -> [Int] { statistics.maximumMagnitude > 0 ? self.top(top) : [] }

  /// From where to where the bar of each of these values reaches; nil of those whose standard errors are not known.
  func errorBars(_ indices: [Int]) -> [ClosedRange<Double>?] {
    indices.map { index in
      guard let error = standardErrors?[index], error.isFinite, error >= 0 else { return nil }
      let reach = Double(Panel.errorsInABar) * error
      let (low, high) = (values[index] - reach, values[index] + reach)
      return low.isFinite && high.isFinite ? low...high : nil
    }
  }
}

/// The axis of a scatter plot's values, or of all that share a page.
struct ScatterScale {
  let axis: Axis
  let isCentredOnZero: Bool

  /// - Parameter top: how many values are starred, whose error bars need room.
  init(_ all: [PlaceAverages], top: Int) {
    isCentredOnZero = all.contains(where: \.areDrawnAroundZero)
    var (low, high) = (Double.nan, Double.nan)
    for averages in all where averages.statistics.count > 0 {
      let statistics = averages.statistics
      let bars = averages.errorBars(averages.starred(top)).compactMap { $0 }
      let isConstant = averages.isConstant && bars.allSatisfy { $0.lowerBound == $0.upperBound }
      low = .minimum(low, bars.reduce(statistics.minimum) { min($0, $1.lowerBound) })
      high = .maximum(
        high, isConstant ? statistics.minimum : bars.reduce(statistics.maximum) { max($0, $1.upperBound) })
    }
    axis = Axis.averages(minimum: low, maximum: high, isCentredOnZero: isCentredOnZero, margin: 0.07)
  }
}
