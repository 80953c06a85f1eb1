import Glibc

extension Canvas {
  /// Five points upwards, inner radius as in a pentagram.
  static func starPoints(at centre: Point, radius: Double) -> [Point] {
    (0..<10).map { corner in
      let angle = Double(corner) * .pi / 5 - .pi / 2
      let reach = corner.isMultiple(of: 2) ? radius : radius * 0.42
      return Point(x: centre.x + reach * cos(angle), y: centre.y + reach * sin(angle))
    }
  }
}
