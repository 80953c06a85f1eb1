/// sRGB, components from 0 to 1.
public struct Color: Equatable, Sendable {
  public var red: Double
  public var green: Double
  public var blue: Double
  public var alpha = 1.0

  /// - Parameter hexadecimal: 0xRRGGBB
  public init(_ hexadecimal: UInt32, alpha: Double = 1) {
    red = Double(hexadecimal >> 16 & 0xff) / 255
    green = Double(hexadecimal >> 8 & 0xff) / 255
    blue = Double(hexadecimal & 0xff) / 255
    self.alpha = alpha
  }

  /// 0xRRGGBB
  var hexadecimal: UInt32 {
    [red, green, blue].reduce(0) { $0 << 8 | UInt32((min(max($1, 0), 1) * 255).rounded()) }
  }

  func mixed(with other: Color, _ share: Double) -> Color {
    var mix = self
    mix.red += (other.red - red) * share
    mix.green += (other.green - green) * share
    mix.blue += (other.blue - blue) * share
    return mix
  }
}

/// From few points to many: one hue, and lightness that only falls, so that it reads the same in grey.
public struct ColorRamp: Equatable, Sendable {
  let stops: [Color]

  /// Of averages of absolute values.
  package static let unsigned = Palette.absolutePoints
  package static let negative = Palette.negativePoints
  package static let positive = Palette.positivePoints

  /// How bright the colour prints in grey, from 0 to 1 (Rec. 601).
  package func grey(at position: Double) -> Double {
    let color = color(at: position)
    return 0.299 * color.red + 0.587 * color.green + 0.114 * color.blue
  }

  func color(at position: Double) -> Color {
    let place = min(max(position, 0), 1) * Double(stops.count - 1)
    let index = min(Int(place), stops.count - 2)
    return stops[index].mixed(with: stops[index + 1], place - Double(index))
  }
}

/// Blue and vermillion of Okabe and Ito's palette for signs, and its green where there are none: the common colour
/// blindnesses tell them apart. The rest is told by shape and lightness, and so survives grey print.
enum Palette {
  static let background = Color(0xffffff)
  static let text = Color(0x1a1a1a)
  static let quietText = Color(0x4d4d4d)
  static let frame = Color(0x4d4d4d)
  static let grid = Color(0xe2e2e2)
  static let zero = Color(0x8c8c8c)
  static let meanLine = Color(0x111111)
  static let casing = Color(0xffffff)
  static let warning = Color(0xb03a00)
  static let star = Color(0xffc20a)
  static let starOutline = Color(0x1a1a1a)

  /// Averages of absolute values.
  static let absoluteBar = Color(0x3f9d7c)
  static let absolutePoints = ColorRamp(stops: [Color(0x86cdb2), Color(0x40a583), Color(0x17775a), Color(0x04382a)])
  /// Signed gradients below zero.
  static let negativeBar = Color(0x3b84ba)
  static let negativePoints = ColorRamp(stops: [Color(0x7bbbe8), Color(0x3f92cf), Color(0x1a5fa8), Color(0x041f4a)])
  /// Signed gradients above zero. Lighter than the blue, so that grey print tells the two apart.
  static let positiveBar = Color(0xee9a4d)
  static let positivePoints = ColorRamp(stops: [Color(0xf8bd7c), Color(0xe88a3a), Color(0xbd5810), Color(0x571f00)])
}
