import Aggregation

// What scatter plots are made of.

extension Panel.Plot {
  func point(_ index: Int, _ value: Double) -> Point { Point(x: x(Double(index)), y: y(value)) }

  /// Larger for fewer points, so that a small layer is no empty page.
  private func pointRadius(count: Int) -> Double {
    let crowding = area.width * area.height / Double(max(count, 1))
    return min(max(crowding.squareRoot() * 0.16, 0.75), style.hasCompactHeader ? 1.1 : 2)
  }

  /// Every finite value at its index.
  func drawPoints(of averages: PlaceAverages, on canvas: Canvas) {
    let values = averages.values
    let points = values.indices.lazy.filter { values[$0].isFinite }.map { point($0, values[$0]) }
    drawPoints(
      Array(points), of: values.count, span: x(0)...x(Double(values.count - 1)), isSigned: averages.isSigned, on: canvas
    )
  }

  /// Discs, or of very many a cloud that shows where they are dense; those above zero in another colour.
  ///
  /// - Parameters:
  ///   - count: how many there would be if all could be drawn.
  ///   - span: from the leftmost point that there can be to the rightmost.
  func drawPoints(_ points: [Point], of count: Int, span: ClosedRange<Double>, isSigned: Bool, on canvas: Canvas) {
    let below = isSigned ? Palette.negativePoints : Palette.absolutePoints
    guard count > Panel.largestCloudOfDiscs else {
      let radius = pointRadius(count: count)
      var colors = [below, Palette.positivePoints].map { $0.color(at: Panel.discShade) }
      for index in colors.indices { colors[index].alpha = 0.85 }
      let zero = y(0)
      for point in points { canvas.disc(at: point, radius: radius, colors[isSigned && point.y < zero ? 1 : 0]) }
      return
    }
    let resolution = canvas.resolution
    let width = Int((area.width * resolution).rounded(.up))
    let height = Int((area.height * resolution).rounded(.up))
    let cloud = PointCloud(width: width, height: height, radius: max(pointRadius(count: count) * resolution, 0.75))
    var pixels = cloud.pixels(
      points.map { Point(x: ($0.x - area.x) * resolution, y: ($0.y - area.y) * resolution) },
      span: (span.lowerBound - area.x) * resolution...(span.upperBound - area.x) * resolution, below: below,
      above: Palette.positivePoints, zeroRow: isSigned ? (y(0) - area.y) * resolution : -1)
    let box = Rectangle(x: area.x, y: area.y, width: Double(width) / resolution, height: Double(height) / resolution)
    canvas.image(&pixels, width: width, height: height, in: box)
  }

  /// Stars, the largest on top, each with its index where there is room for it.
  ///
  /// - Parameters:
  ///   - stars: the largest first.
  ///   - bars: the error bar of each, from where to where; empty where there are none.
  func drawStars(
    _ stars: [(index: Int, mark: Point)], bars: [ClosedRange<Double>?], avoiding lines: [Rectangle], on canvas: Canvas
  ) {
    let radius = style.starRadius
    var obstacles = stars.map {
      Rectangle(x: $0.mark.x - radius, y: $0.mark.y - radius, width: 2 * radius, height: 2 * radius)
        .inset(by: radius * 0.1)
    }
    for (star, bar) in zip(stars, bars) {
      guard let bar else { continue }
      let (top, bottom) = (y(bar.upperBound), y(bar.lowerBound))
      canvas.whiskers(x: star.mark.x, from: top, to: bottom, halfWidth: radius * 0.45)
      obstacles.append(Rectangle(x: star.mark.x - 1, y: top, width: 2, height: bottom - top))
    }
    for star in stars.reversed() { canvas.star(at: star.mark, radius: radius) }
    label(stars, clearance: radius + 2, avoiding: obstacles + lines, within: area.inset(by: 1), on: canvas)
  }

  /// The index of each mark beside it, where there is room.
  func label(
    _ marks: [(index: Int, mark: Point)], clearance: Double, avoiding obstacles: [Rectangle], within bounds: Rectangle,
    on canvas: Canvas
  ) {
    let height = Canvas.capHeight(size: style.starLabelSize)
    // Nobody reads more, and each is tried against all the others.
    let requests = marks.prefix(200).map { index, mark in
      LabelRequest(
        mark: mark, clearance: clearance, width: canvas.width(of: String(index), size: style.starLabelSize) + 2,
        height: height + 2)
    }
    for (mark, place) in zip(marks, placeLabels(requests, avoiding: obstacles, within: bounds)) {
      guard let place else { continue }
      canvas.text(
        String(mark.index), at: Point(x: place.x + 1, y: place.maxY - 1), size: style.starLabelSize,
        halo: Palette.casing)
    }
  }
}
