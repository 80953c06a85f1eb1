import CCairo
import SystemIO

/// DejaVu Sans as it lies in `share/gradient-filters/fonts` beside the program's folder, where the programs were
/// installed with it: pictures are then lettered alike on every machine, whatever fonts it has.
///
/// Cairo locks a font's face while it draws with it, so threads may share one.
struct CarriedFont: @unchecked Sendable {
  private let regular: OpaquePointer
  private let bold: OpaquePointer

  /// nil where no font was installed beside the program.
  static let shared = CarriedFont(
    folder: folder(of: folder(of: absolutePath("/proc/self/exe"))) + "/share/gradient-filters/fonts")

  init?(folder: String) {
    var library: FT_Library?
    guard FT_Init_FreeType(&library) == 0 else { return nil }
    func face(_ name: String) -> OpaquePointer? {
      var face: FT_Face?
      guard FT_New_Face(library, "\(folder)/\(name)", 0, &face) == 0 else { return nil }
      return cairo_ft_font_face_create_for_ft_face(face, 0)
    }
    guard let regular = face("DejaVuSans.ttf"), let bold = face("DejaVuSans-Bold.ttf") else { return nil }
    (self.regular, self.bold) = (regular, bold)
  }

  func face(_ weight: Canvas.Weight) -> OpaquePointer { weight == .bold ? bold : regular }
}
