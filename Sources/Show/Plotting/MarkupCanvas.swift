import SystemIO

/// What is drawn as SVG elements that stand in a page of HTML. Texts are text, in the page's font, and the palette's
/// colours are the page's custom properties, so that its light and its dark reach into the picture. No element needs a
/// style or an id.
final class MarkupCanvas: Canvas {
  private var elements = ""
  /// Shapes of one look that follow one another are one path.
  private var path: (look: String, data: String) = ("", "")

  /// What has been drawn so far.
  var markup: String {
    endPath()
    return elements
  }

  private func endPath() {
    if !path.data.isEmpty { elements += "<path\(path.look) d=\"\(path.data)\"/>" }
    path = ("", "")
  }

  private func add(_ data: String, _ look: String) {
    if path.look != look { endPath() }
    path = (look, path.data + data)
  }

  private func add(element: String) {
    endPath()
    elements += element
  }

  // MARK: Shapes

  /// The page's ground shows.
  override func fillPage(_ color: Color) {}

  override func fill(_ rectangle: Rectangle, _ color: Color) { fill([rectangle], color) }

  override func fill(_ rectangles: some Sequence<Rectangle>, _ color: Color) {
    for rectangle in rectangles { add(outline(rectangle), look("fill", color)) }
    // A rectangle upon another one covers it, which within a path it might not.
    endPath()
  }

  override func stroke(_ rectangle: Rectangle, _ color: Color, width: Double) {
    add(outline(rectangle), strokeLook(color, width))
  }

  private func outline(_ rectangle: Rectangle) -> String {
    "M\(short(rectangle.x)) \(short(rectangle.y))h\(short(rectangle.width))v\(short(rectangle.height))"
      + "h\(short(-rectangle.width))z"
  }

  override func line(from start: Point, to end: Point, _ color: Color, width: Double, dashes: [Double] = []) {
    let pattern = dashes.isEmpty ? "" : " stroke-dasharray=\"\(dashes.map { short($0) }.joined(separator: " "))\""
    let rest =
      start.x == end.x
      ? "V\(short(end.y))" : start.y == end.y ? "H\(short(end.x))" : "L\(short(end.x)) \(short(end.y))"
    add("M\(short(start.x)) \(short(start.y))\(rest)", strokeLook(color, width) + pattern)
  }

  override func polygon(_ points: [Point], fill: Color, outline: Color, width: Double) {
    let corners = points.map { "\(short($0.x)) \(short($0.y))" }.joined(separator: " ")
    add(
      element: "<path\(look("fill", fill))\(look("stroke", outline)) stroke-width=\"\(short(width))\" "
        + "stroke-linejoin=\"round\" d=\"M\(corners)z\"/>")
  }

  override func disc(at centre: Point, radius: Double, _ color: Color) {
    // A line of no length with round ends.
    add(
      "M\(short(centre.x)) \(short(centre.y))h0",
      strokeLook(color, 2 * radius) + " stroke-linecap=\"round\"")
  }

  override func clipped(to rectangle: Rectangle, _ draw: () -> Void) {
    let numbers = [rectangle.x, rectangle.y, rectangle.width, rectangle.height].map { short($0) }
    add(
      element: "<svg x=\"\(numbers[0])\" y=\"\(numbers[1])\" width=\"\(numbers[2])\" height=\"\(numbers[3])\" "
        + "viewBox=\"\(numbers.joined(separator: " "))\">")
    draw()
    add(element: "</svg>")
  }

  // MARK: Text and images

  override func text(
    _ text: String, at point: Point, size: Double, weight: Weight = .regular, color: Color = Palette.text,
    align: Alignment = .left, isTurned: Bool = false, halo: Color? = nil
  ) {
    var element = "<text x=\"\(short(point.x))\" y=\"\(short(point.y))\" font-size=\"\(short(size))\""
    if weight == .bold { element += " font-weight=\"bold\"" }
    if align != .left { element += " text-anchor=\"\(align == .centre ? "middle" : "end")\"" }
    if isTurned { element += " transform=\"rotate(-90 \(short(point.x)) \(short(point.y)))\"" }
    if let halo {
      element += " paint-order=\"stroke\"\(look("stroke", halo)) stroke-width=\"\(short(size * 0.28))\""
      element += " stroke-linejoin=\"round\""
    }
    add(element: element + "\(look("fill", color))>\(Figure.escaped(text))</text>")
  }

  override func image(_ pixels: inout [UInt32], width: Int, height: Int, in rectangle: Rectangle) {
    let picture = base64(encodedAsPNG(merging: pixels, width: width, height: height))
    add(
      element: "<image class=\"cloud\" x=\"\(short(rectangle.x))\" y=\"\(short(rectangle.y))\" "
        + "width=\"\(short(rectangle.width))\" height=\"\(short(rectangle.height))\" preserveAspectRatio=\"none\" "
        + "href=\"data:image/png;base64,\(picture)\"/>")
  }

  // MARK: Looks

  private func strokeLook(_ color: Color, _ width: Double) -> String {
    " fill=\"none\"\(look("stroke", color)) stroke-width=\"\(short(width))\""
  }

  private func look(_ attribute: String, _ color: Color) -> String {
    let opacity = color.alpha < 1 ? " \(attribute)-opacity=\"\(decimal(color.alpha, 2))\"" : ""
    return " \(attribute)=\"\(Self.value(of: color))\"\(opacity)"
  }

  /// The custom property of a colour that is not the same on dark ground, else the colour itself.
  private static func value(of color: Color) -> String {
    var opaque = color
    opaque.alpha = 1
    if let role = roles.first(where: { $0.color == opaque }) { return "var(--plot-\(role.name))" }
    let digits = String(opaque.hexadecimal, radix: 16)
    return "#" + String(repeating: "0", count: 6 - digits.count) + digits
  }

  private static let roles: [(name: String, color: Color)] = [
    ("ink", Palette.text), ("quiet", Palette.quietText), ("grid", Palette.grid), ("zero", Palette.zero),
    ("mean", Palette.meanLine), ("ground", Palette.background), ("warning", Palette.warning),
  ]

  /// With at most one decimal: a point is a pixel on most screens.
  private func short(_ value: Double) -> String {
    // What is drawn lies on a page of some hundred points, or is cut off far outside.
    let tenths = Int((min(max(value, -1e6), 1e6) * 10).rounded())
    let text = "\(tenths < 0 ? "-" : "")\(tenths.magnitude / 10)"
    return tenths % 10 == 0 ? text : "\(text).\(tenths.magnitude % 10)"
  }
}
