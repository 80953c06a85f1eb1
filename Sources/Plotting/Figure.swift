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
    case .svg, .pdf: throw Failure(.usage, "the format \(format.rawValue) is not drawn yet")
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
    return PNGEncoder.encode(
      pixels: cairo_image_surface_get_data(surface), width: Int(pixelWidth), height: Int(pixelHeight),
      stride: Int(cairo_image_surface_get_stride(surface)), resolution: resolution,
      texts: [("Title", title), ("Software", "grad-plot")] + metadata)
  }

  private func render(on surface: OpaquePointer, scale: Double, isRaster: Bool) throws {
    let canvas = Canvas(surface: surface, resolution: scale, isRaster: isRaster)
    canvas.fill(Rectangle(x: 0, y: 0, width: width, height: height), Palette.background)
    draw(canvas)
    guard canvas.status == CAIRO_STATUS_SUCCESS else {
      throw Failure(.bug, "cairo: \(String(cString: cairo_status_to_string(canvas.status)))")
    }
  }
}
