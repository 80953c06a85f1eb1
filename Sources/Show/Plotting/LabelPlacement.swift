/// A label that wants to stand beside a mark.
public struct LabelRequest: Sendable {
  public let mark: Point
  /// From the middle of the mark to where the label may begin.
  public let clearance: Double
  public let width: Double
  public let height: Double

  public init(mark: Point, clearance: Double, width: Double, height: Double) {
    self.mark = mark
    self.clearance = clearance
    self.width = width
    self.height = height
  }

  /// The places a reader looks for a label, the best first.
  var candidates: [Rectangle] {
    let (x, y, c) = (mark.x, mark.y, clearance)
    let d = c * 0.7
    return [
      Point(x: x + c, y: y - height / 2),
      Point(x: x - c - width, y: y - height / 2),
      Point(x: x - width / 2, y: y - c - height),
      Point(x: x - width / 2, y: y + c),
      Point(x: x + d, y: y - d - height),
      Point(x: x - d - width, y: y - d - height),
      Point(x: x + d, y: y + d),
      Point(x: x - d - width, y: y + d),
    ].map { Rectangle(x: $0.x, y: $0.y, width: width, height: height) }
  }
}

/// A place for each label that meets no obstacle, no other label, and lies within `bounds`; nil where there is none.
/// Earlier requests choose first.
public func placeLabels(
  _ requests: [LabelRequest], avoiding obstacles: [Rectangle], within bounds: Rectangle
) -> [Rectangle?] {
  var taken = obstacles
  return requests.map { request in
    let place = request.candidates.first { candidate in
      bounds.contains(candidate) && !taken.contains { $0.intersects(candidate) }
    }
    if let place { taken.append(place) }
    return place
  }
}
