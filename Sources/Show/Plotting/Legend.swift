/// A line of explained marks. It stands above the plot, where it can hide nothing.
struct Legend {
  enum Mark {
    case star
    case dashedLine
    case line
    /// Upright, with an end at both sides.
    case whiskers
    case bar(Color)
    /// Points from sparse to dense.
    case ramp(ColorRamp)
    case dot(Color)
  }

  struct Entry {
    let mark: Mark
    let text: String
  }

  let entries: [Entry]

  func width(on canvas: Canvas, _ style: PanelStyle) -> Double {
    let widths = entries.map {
      Self.markWidth($0.mark, style) + style.gap * 0.8 + canvas.width(of: $0.text, size: style.textSize)
    }
    return widths.reduce(0, +) + Double(max(entries.count - 1, 0)) * style.gap * 2.5
  }

  func draw(on canvas: Canvas, left: Double, baseline: Double, _ style: PanelStyle) {
    var x = left
    let middle = baseline - Canvas.capHeight(size: style.textSize) / 2
    for entry in entries {
      let width = Self.markWidth(entry.mark, style)
      let height = style.textSize * 0.8
      let box = Rectangle(x: x, y: middle - height / 2, width: width, height: height)
      switch entry.mark {
      case .star: canvas.star(at: Point(x: box.midX, y: middle), radius: min(style.starRadius, style.textSize * 0.55))
      case .dashedLine:
        canvas.line(
          from: Point(x: box.x, y: middle), to: Point(x: box.maxX, y: middle), Palette.meanLine, width: style.lineWidth,
          dashes: Canvas.dashes(style))
      case .line:
        canvas.line(
          from: Point(x: box.x, y: middle), to: Point(x: box.maxX, y: middle), Palette.meanLine, width: style.lineWidth)
      case .whiskers:
        canvas.whiskers(x: box.midX, from: box.y, to: box.maxY, halfWidth: box.width * 0.3)
      case .bar(let color): canvas.fill(canvas.snapped(box), color)
      case .dot(let color): canvas.disc(at: Point(x: box.midX, y: middle), radius: style.textSize * 0.2, color)
      case .ramp(let ramp):
        let steps = 16
        for step in 0..<steps {
          // Each reaches to the end, under the next: slices side by side show seams in vector viewers.
          let start = box.width * Double(step) / Double(steps)
          let rest = Rectangle(x: box.x + start, y: box.y, width: box.width - start, height: box.height)
          canvas.fill(canvas.snapped(rest), ramp.color(at: Double(step) / Double(steps - 1)))
        }
      }
      x += width + style.gap * 0.8
      canvas.text(entry.text, at: Point(x: x, y: baseline), size: style.textSize)
      x += canvas.width(of: entry.text, size: style.textSize) + style.gap * 2.5
    }
  }

  private static func markWidth(_ mark: Mark, _ style: PanelStyle) -> Double {
    switch mark {
    case .star: style.textSize * 1.1
    case .dot: style.textSize * 0.6
    case .dashedLine: style.textSize * 2.3
    case .line: style.textSize * 1.6
    case .whiskers: style.textSize * 0.9
    case .bar: style.textSize * 1.1
    case .ramp: style.textSize * 3.2
    }
  }
}

extension Canvas {
  static func dashes(_ style: PanelStyle) -> [Double] { [style.lineWidth * 3.2, style.lineWidth * 1.8] }

  func star(at centre: Point, radius: Double) {
    polygon(
      Self.starPoints(at: centre, radius: radius), fill: Palette.star, outline: Palette.starOutline,
      width: radius * 0.14)
  }

  /// An upright line with ends, dark on a light casing.
  func whiskers(x: Double, from top: Double, to bottom: Double, halfWidth: Double) {
    for (color, extra) in [(Palette.casing, 1.2), (Palette.starOutline, 0)] {
      let width = 0.9 + extra
      line(from: Point(x: x, y: top), to: Point(x: x, y: bottom), color, width: width)
      for y in [top, bottom] {
        line(
          from: Point(x: x - halfWidth - extra / 2, y: y), to: Point(x: x + halfWidth + extra / 2, y: y), color,
          width: width)
      }
    }
  }

  /// A line through the data that stays visible on dark and light ground: dark dashes on a light casing.
  func casedLine(from start: Point, to end: Point, _ style: PanelStyle) {
    line(from: start, to: end, Palette.casing, width: style.lineWidth + 1.2)
    line(from: start, to: end, Palette.meanLine, width: style.lineWidth, dashes: Self.dashes(style))
  }
}
