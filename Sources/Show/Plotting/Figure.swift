import CCairo
import SystemIO

public enum PlotFormat: String, CaseIterable, Sendable {
  case png, svg, pdf
}

/// A picture that can be drawn in any format.
public struct Figure {
  /// Points of 1/72 inch.
  public let width: Double
  public let height: Double
  public let title: String
  let draw: (Canvas) -> Void

  /// - Parameters:
  ///   - resolution: dots an inch: of the pixels, or of the raster layers in a vector format.
  ///   - metadata: what the file says of its origin, besides the title.
  public func encoded(
    as format: PlotFormat, resolution: Double = 150, metadata: [(key: String, value: String)] = []
  ) throws -> [UInt8] {
    switch format {
    case .png: try encodedAsPNG(resolution: resolution, metadata: metadata)
    case .svg: try encodedAsSVG(resolution: resolution, metadata: metadata)
    case .pdf: try encodedAsPDF(resolution: resolution, metadata: metadata)
    }
  }

  /// Writes the picture; it appears under its name when it is complete.
  public func write(
    to path: String, as format: PlotFormat, resolution: Double = 150, metadata: [(key: String, value: String)] = []
  ) throws {
    let bytes = try encoded(as: format, resolution: resolution, metadata: metadata)
    let file = try OutputFile(path: path)
    try file.write(bytes)
    try file.finish()
  }

  private func encodedAsPNG(resolution: Double, metadata: [(key: String, value: String)]) throws -> [UInt8] {
    let scale = resolution / 72
    let (pixelWidth, pixelHeight) = ((width * scale).rounded(), (height * scale).rounded())
    // Cairo's own limit for image surfaces.
    guard pixelWidth < 32_768, pixelHeight < 32_768 else {
      throw Failure(
        .usage, "a picture of \(Int(pixelWidth)) × \(Int(pixelHeight)) pixels: at most 32767 each way; lower --dpi")
    }
    let surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, CInt(pixelWidth), CInt(pixelHeight))
    defer { cairo_surface_destroy(surface) }
    try render(on: surface!, scale: scale, isRaster: true)
    cairo_surface_flush(surface)
    return Plotting.encodedAsPNG(
      pixels: cairo_image_surface_get_data(surface), width: Int(pixelWidth), height: Int(pixelHeight),
      stride: Int(cairo_image_surface_get_stride(surface)), resolution: resolution,
      texts: [("Title", title), ("Software", "grad-plot")] + metadata)
  }

  private func encodedAsSVG(resolution: Double, metadata: [(key: String, value: String)]) throws -> [UInt8] {
    let svg = try vectorBytes(cairo_svg_surface_create_for_stream, resolution: resolution) { _ in }
    // Cairo writes none of this itself. SVG viewers show the title; the rest is for programs.
    let lines = [("Software", "grad-plot")] + metadata
    let elements =
      "\n<title>\(Self.escaped(title))</title>\n<metadata>\n"
      + lines.map { "\(Self.escaped($0)): \(Self.escaped($1))\n" }.joined() + "</metadata>"
    guard let root = svg.firstRange(of: Array("<svg".utf8)), let end = svg[root.upperBound...].firstIndex(of: 0x3e)
    else { throw Failure(.bug, "cairo: an SVG file without its root element") }
    return svg[...end] + Array(elements.utf8) + svg[(end + 1)...]
  }

  private func encodedAsPDF(resolution: Double, metadata: [(key: String, value: String)]) throws -> [UInt8] {
    try vectorBytes(cairo_pdf_surface_create_for_stream, resolution: resolution) { surface in
      cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_TITLE, title)
      cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_CREATOR, "grad-plot")
      let lines = metadata.map { "\($0.key): \($0.value)" }
      cairo_pdf_surface_set_metadata(surface, CAIRO_PDF_METADATA_SUBJECT, lines.joined(separator: "\n"))
    }
  }

  private typealias VectorSurface = (cairo_write_func_t?, UnsafeMutableRawPointer?, Double, Double) -> OpaquePointer?

  private func vectorBytes(
    _ create: VectorSurface, resolution: Double, _ describe: (OpaquePointer) -> Void
  ) throws -> [UInt8] {
    let sink = ByteSink()
    let surface = create(
      { sink, bytes, count in
        Unmanaged<ByteSink>.fromOpaque(sink!).takeUnretainedValue().bytes
          .append(contentsOf: UnsafeBufferPointer(start: bytes, count: Int(count)))
        return CAIRO_STATUS_SUCCESS
      }, Unmanaged.passUnretained(sink).toOpaque(), width, height)!
    defer { cairo_surface_destroy(surface) }
    describe(surface)
    try render(on: surface, scale: resolution / 72, isRaster: false)
    cairo_surface_finish(surface)
    return sink.bytes
  }

  /// As XML has it, control characters as U+FFFD.
  static func escaped(_ text: String) -> String {
    var escaped = ""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "&": escaped += "&amp;"
      case "<": escaped += "&lt;"
      case ">": escaped += "&gt;"
      // XML has no place for the other control characters, not even as references.
      case "\u{0}"..."\u{8}", "\u{b}", "\u{c}", "\u{e}"..."\u{1f}": escaped += "\u{fffd}"
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    return escaped
  }

  /// Every text on the page and the place it takes, from the base line to the height of capitals.
  package func texts() -> [(text: String, place: Rectangle)] {
    let canvas = Canvas.forMeasuring()
    var texts: [(String, Rectangle)] = []
    canvas.textObserver = { texts.append(($0, $1)) }
    draw(canvas)
    return texts
  }

  private func render(on surface: OpaquePointer, scale: Double, isRaster: Bool) throws {
    let canvas = Canvas(surface: surface, resolution: scale, isRaster: isRaster)
    canvas.fillPage(Palette.background)
    draw(canvas)
    guard canvas.status == CAIRO_STATUS_SUCCESS else {
      throw Failure(.bug, "cairo: \(String(cString: cairo_status_to_string(canvas.status)))")
    }
  }
}
