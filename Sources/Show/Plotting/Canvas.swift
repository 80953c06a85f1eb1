import CCairo

/// A page to draw on: points of 1/72 inch, y downwards, whatever it becomes in the end.
///
/// A thin layer over Cairo. Straight lines and edges can be moved to whole device pixels, where they are crisp.
class Canvas {
  private let context: OpaquePointer
  /// Device pixels a point. On vector pages, the resolution of raster layers.
  let resolution: Double
  private let snapsToPixels: Bool
  /// Told of every text and the place it takes.
  var textObserver: ((String, Rectangle) -> Void)?

  enum Weight {
    case regular, bold
  }

  enum Alignment: Double {
    case left = 0
    case centre = 0.5
    case right = 1
  }

  /// - Parameter isRaster: the surface has pixels, `resolution` of them a point.
  init(surface: OpaquePointer, resolution: Double, isRaster: Bool) {
    context = cairo_create(surface)
    self.resolution = resolution
    snapsToPixels = isRaster
    if isRaster { cairo_scale(context, resolution, resolution) }
    // Unhinted widths: the layout is then the same in every format and at every resolution.
    let options = cairo_font_options_create()
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF)
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE)
    cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY)
    cairo_set_font_options(context, options)
    cairo_font_options_destroy(options)
  }

  deinit { cairo_destroy(context) }

  /// Without a page, for the widths of texts.
  static func forMeasuring() -> Canvas { Canvas(measuringAt: 1) }

  /// Without a page of Cairo's: a subclass puts what is drawn elsewhere, and Cairo measures its texts.
  convenience init(measuringAt resolution: Double) {
    let surface = cairo_image_surface_create(CAIRO_FORMAT_A8, 1, 1)!
    // The canvas holds on to the surface.
    defer { cairo_surface_destroy(surface) }
    self.init(surface: surface, resolution: resolution, isRaster: false)
  }

  /// The nearest edge between two pixels.
  func snapped(_ coordinate: Double) -> Double {
    snapsToPixels ? (coordinate * resolution).rounded() / resolution : coordinate
  }

  func snapped(_ rectangle: Rectangle) -> Rectangle {
    let (x, y) = (snapped(rectangle.x), snapped(rectangle.y))
    return Rectangle(
      x: x, y: y, width: snapped(rectangle.maxX) - x, height: snapped(rectangle.maxY) - y)
  }

  // MARK: Shapes

  /// All of the page, to the last pixel, which the page's size may cover in part only.
  func fillPage(_ color: Color) {
    set(color)
    cairo_paint(context)
  }

  func fill(_ rectangle: Rectangle, _ color: Color) {
    set(color)
    cairo_rectangle(context, rectangle.x, rectangle.y, rectangle.width, rectangle.height)
    cairo_fill(context)
  }

  /// Many rectangles of one colour, in one go.
  func fill(_ rectangles: some Sequence<Rectangle>, _ color: Color) {
    set(color)
    for rectangle in rectangles {
      cairo_rectangle(context, rectangle.x, rectangle.y, rectangle.width, rectangle.height)
    }
    cairo_fill(context)
  }

  func stroke(_ rectangle: Rectangle, _ color: Color, width: Double) {
    set(color)
    cairo_set_line_width(context, width)
    cairo_rectangle(context, rectangle.x, rectangle.y, rectangle.width, rectangle.height)
    cairo_stroke(context)
  }

  /// A line; horizontal and vertical ones cover whole pixels.
  func line(from start: Point, to end: Point, _ color: Color, width: Double, dashes: [Double] = []) {
    var (start, end, width) = (start, end, width)
    if snapsToPixels, start.x == end.x || start.y == end.y {
      let pixels = max(1, (width * resolution).rounded())
      width = pixels / resolution
      func centred(_ coordinate: Double) -> Double {
        (((coordinate * resolution) - pixels / 2).rounded() + pixels / 2) / resolution
      }
      if start.x == end.x {
        start.x = centred(start.x)
        end.x = start.x
      } else {
        start.y = centred(start.y)
        end.y = start.y
      }
    }
    set(color)
    cairo_set_line_width(context, width)
    cairo_set_dash(context, dashes, CInt(dashes.count), 0)
    cairo_move_to(context, start.x, start.y)
    cairo_line_to(context, end.x, end.y)
    cairo_stroke(context)
    cairo_set_dash(context, nil, 0, 0)
  }

  func polygon(_ points: [Point], fill: Color, outline: Color, width: Double) {
    // Text leaves a current point behind, which a path would otherwise begin at.
    cairo_new_path(context)
    for point in points { cairo_line_to(context, point.x, point.y) }
    cairo_close_path(context)
    set(fill)
    cairo_fill_preserve(context)
    set(outline)
    cairo_set_line_width(context, width)
    cairo_set_line_join(context, CAIRO_LINE_JOIN_ROUND)
    cairo_stroke(context)
  }

  func disc(at centre: Point, radius: Double, _ color: Color) {
    set(color)
    cairo_new_path(context)
    cairo_arc(context, centre.x, centre.y, radius, 0, 2 * .pi)
    cairo_fill(context)
  }

  func clipped(to rectangle: Rectangle, _ draw: () -> Void) {
    cairo_save(context)
    cairo_rectangle(context, rectangle.x, rectangle.y, rectangle.width, rectangle.height)
    cairo_clip(context)
    draw()
    cairo_restore(context)
  }

  // MARK: Text

  private func selectFont(size: Double, weight: Weight) {
    if let carried = CarriedFont.shared {
      cairo_set_font_face(context, carried.face(weight))
    } else {
      // Where DejaVu Sans is not installed, fontconfig takes the nearest there is.
      cairo_select_font_face(
        context, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
        weight == .bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL)
    }
    cairo_set_font_size(context, size)
  }

  func width(of text: String, size: Double, weight: Weight = .regular) -> Double {
    selectFont(size: size, weight: weight)
    var extents = cairo_text_extents_t()
    cairo_text_extents(context, text, &extents)
    return extents.x_advance
  }

  /// The height of capitals and digits, which is what looks centred.
  static func capHeight(size: Double) -> Double { size * 0.73 }

  /// - Parameters:
  ///   - point: on the base line: its left end, middle or right end.
  ///   - angle: in quarter turns; 1 reads upwards.
  ///   - halo: a border that keeps the text readable on whatever lies under it.
  func text(
    _ text: String, at point: Point, size: Double, weight: Weight = .regular, color: Color = Palette.text,
    align: Alignment = .left, isTurned: Bool = false, halo: Color? = nil
  ) {
    let shift = align == .left ? 0 : width(of: text, size: size, weight: weight) * align.rawValue
    if let textObserver {
      let (length, height) = (width(of: text, size: size, weight: weight), Self.capHeight(size: size))
      textObserver(
        text,
        isTurned
          ? Rectangle(x: point.x - height, y: point.y + shift - length, width: height, height: length)
          : Rectangle(x: point.x - shift, y: point.y - height, width: length, height: height))
    }
    selectFont(size: size, weight: weight)
    cairo_save(context)
    cairo_translate(context, point.x, point.y)
    if isTurned { cairo_rotate(context, -.pi / 2) }
    cairo_move_to(context, -shift, 0)
    if let halo {
      cairo_text_path(context, text)
      set(halo)
      cairo_set_line_width(context, size * 0.28)
      cairo_set_line_join(context, CAIRO_LINE_JOIN_ROUND)
      cairo_stroke(context)
      cairo_move_to(context, -shift, 0)
    }
    set(color)
    cairo_show_text(context, text)
    cairo_restore(context)
  }

  // MARK: Images

  /// Pixels that fill `rectangle`, premultiplied ARGB in the machine's byte order, row by row.
  func image(_ pixels: inout [UInt32], width: Int, height: Int, in rectangle: Rectangle) {
    pixels.withUnsafeMutableBytes { bytes in
      let surface = cairo_image_surface_create_for_data(
        bytes.bindMemory(to: UInt8.self).baseAddress, CAIRO_FORMAT_ARGB32, CInt(width), CInt(height), CInt(width * 4))
      cairo_save(context)
      cairo_translate(context, rectangle.x, rectangle.y)
      cairo_scale(context, rectangle.width / Double(width), rectangle.height / Double(height))
      cairo_set_source_surface(context, surface, 0, 0)
      // The pixels are the page's own: to interpolate between them would only blur.
      cairo_pattern_set_filter(cairo_get_source(context), CAIRO_FILTER_NEAREST)
      cairo_paint(context)
      cairo_restore(context)
      // A vector surface keeps a snapshot of the pixels, which finishing makes it take now.
      cairo_surface_finish(surface)
      cairo_surface_destroy(surface)
    }
  }

  private func set(_ color: Color) {
    cairo_set_source_rgba(context, color.red, color.green, color.blue, color.alpha)
  }

  var status: cairo_status_t { cairo_status(context) }
}
