import Aggregation
import Glibc

extension Panel {
  /// Beyond this many points a cloud is drawn as pixels that show its density; below, as discs that can be told apart.
  static let largestCloudOfDiscs = 4096

  /// Every value of a layer at its index.
  static func scatter(
    _ gradients: PlaceAverages, top: Int, style: PanelStyle, title: String, subtitle: String?
  ) -> Panel {
    let statistics = gradients.statistics
    let isSigned = gradients.mode == .mean
    let isCell = style.hasCompactHeader
    let starred = gradients.starred(top)
    let isCentred = gradients.areDrawnAroundZero
    let count = gradients.values.count
    let isCloud = count > largestCloudOfDiscs
    let room = max(Double(count) * 0.02, 0.5)
    let yAxis = Axis.gradients(
      minimum: statistics.minimum, maximum: gradients.isConstant ? statistics.minimum : statistics.maximum,
      isCentredOnZero: isCentred, margin: 0.07)

    return Panel(
      style: style, title: title, subtitle: subtitle, warning: gradients.warning(isCell: isCell),
      legend: style.sharesLegend
        ? .mean("Mean: \(plotNumber(statistics.mean))")
        : scatterLegend(gradients, starred: starred.count, mean: "Mean: \(plotNumber(statistics.mean))"),
      xText: AxisText(
        axis: Axis(low: -room, high: Double(max(count - 1, 0)) + room),
        label: isCell ? "Index" : gradients.unit.indexLabel, areIntegers: true),
      yText: AxisText(
        axis: yAxis, label: isCell ? "Gradient" : "\(gradients.mode.names.title) Gradient",
        showsLossDirection: isCentred && !isCell),
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
      if isCloud {
        plot.drawCloud(of: gradients.values, isSigned: isSigned, on: canvas)
      } else {
        plot.drawDiscs(of: gradients.values, isSigned: isSigned, on: canvas)
      }
      if isOnTop { canvas.casedLine(from: start, to: end, style) }
      let lines = [y, isCentred ? plot.y(0) : y].map {
        Rectangle(x: plot.area.x, y: $0 - 1.5, width: plot.area.width, height: 3)
      }
      plot.drawStars(starred, of: gradients.values, avoiding: lines, on: canvas)
    }
  }

  static func scatterLegend(_ gradients: PlaceAverages, starred: Int, mean: String) -> Legend {
    let isCloud = gradients.values.count > largestCloudOfDiscs
    let ramps =
      gradients.mode == .mean
      ? [(Palette.negativePoints, "increase lowers the loss"), (Palette.positivePoints, "increase raises the loss")]
      : [(Palette.absolutePoints, isCloud ? "sparse to dense" : gradients.unit == .feature ? "Feature" : "Dimension")]
    var entries = ramps.map { ramp, text in
      Legend.Entry(mark: isCloud ? .ramp(ramp) : .dot(ramp.color(at: discShade)), text: text)
    }
    if starred > 0 { entries.append(Legend.Entry(mark: .star, text: "Top \(starred) \(gradients.unit.shortThings)")) }
    return Legend(entries: entries + Legend.mean(mean).entries)
  }

  /// Where on the ramp the colour of single discs lies.
  fileprivate static let discShade = 0.4
}

extension PlaceAverages {
  /// The indices of the values that get a star. Where all is zero, nothing stands out.
  func starred(_ top: Int) -> [Int] { statistics.maximumMagnitude > 0 ? self.top(top) : [] }
}

extension Panel.Plot {
  private func point(_ index: Int, _ value: Double) -> Point { Point(x: x(Double(index)), y: y(value)) }

  /// Larger for fewer points, so that a small layer is no empty page.
  private func pointRadius(count: Int) -> Double {
    let crowding = area.width * area.height / Double(max(count, 1))
    return min(max(crowding.squareRoot() * 0.16, 0.75), style.hasCompactHeader ? 1.1 : 2)
  }

  fileprivate func drawDiscs(of values: [Double], isSigned: Bool, on canvas: Canvas) {
    let radius = pointRadius(count: values.count)
    var below = (isSigned ? Palette.negativePoints : Palette.absolutePoints).color(at: Panel.discShade)
    var above = Palette.positivePoints.color(at: Panel.discShade)
    (below.alpha, above.alpha) = (0.85, 0.85)
    for (index, value) in values.enumerated() where value.isFinite {
      canvas.disc(at: point(index, value), radius: radius, isSigned && value > 0 ? above : below)
    }
  }

  fileprivate func drawCloud(of values: [Double], isSigned: Bool, on canvas: Canvas) {
    let resolution = canvas.resolution
    let width = Int((area.width * resolution).rounded(.up))
    let height = Int((area.height * resolution).rounded(.up))
    let cloud = PointCloud(
      width: width, height: height, radius: max(pointRadius(count: values.count) * resolution, 0.75))
    var points: [Point] = []
    points.reserveCapacity(values.count)
    for (index, value) in values.enumerated() where value.isFinite {
      let place = point(index, value)
      points.append(Point(x: (place.x - area.x) * resolution, y: (place.y - area.y) * resolution))
    }
    let zeroRow = isSigned ? (y(0) - area.y) * resolution : -1
    let span = (x(0) - area.x) * resolution...(x(Double(values.count - 1)) - area.x) * resolution
    var pixels = cloud.pixels(
      points, span: span, below: isSigned ? Palette.negativePoints : Palette.absolutePoints,
      above: Palette.positivePoints, zeroRow: zeroRow)
    let box = Rectangle(x: area.x, y: area.y, width: Double(width) / resolution, height: Double(height) / resolution)
    canvas.image(&pixels, width: width, height: height, in: box)
  }

  /// Stars, the largest on top, each with its index where there is room for it.
  fileprivate func drawStars(_ indices: [Int], of values: [Double], avoiding lines: [Rectangle], on canvas: Canvas) {
    let marks = indices.map { point($0, values[$0]) }
    for mark in marks.reversed() { canvas.star(at: mark, radius: style.starRadius) }
    let radius = style.starRadius
    let obstacles = marks.map {
      Rectangle(x: $0.x - radius, y: $0.y - radius, width: 2 * radius, height: 2 * radius).inset(by: radius * 0.1)
    }
    let height = Canvas.capHeight(size: style.starLabelSize)
    // Nobody reads more, and each is tried against all the others.
    let requests = zip(indices, marks).prefix(200).map { index, mark in
      LabelRequest(
        mark: mark, clearance: radius + 2, width: canvas.width(of: String(index), size: style.starLabelSize) + 2,
        height: height + 2)
    }
    for (index, place) in zip(indices, placeLabels(requests, avoiding: obstacles + lines, within: area.inset(by: 1))) {
      guard let place else { continue }
      canvas.text(
        String(index), at: Point(x: place.x + 1, y: place.maxY - 1), size: style.starLabelSize, halo: Palette.casing)
    }
  }
}
