/// The pixels of a picture with opacity as indices into a palette of at most 256 colours: shades that hardly differ are
/// taken for one.
package struct MergedColors {
  package struct Color: Equatable {
    package let red: UInt8
    package let green: UInt8
    package let blue: UInt8
    package let opacity: UInt8
  }

  package private(set) var colors: [Color]
  package private(set) var indices: [UInt8]

  /// - Parameter pixels: premultiplied ARGB.
  package init(_ pixels: [UInt32]) {
    for bits in stride(from: UInt32(5), through: 2, by: -1) {
      if let (colors, indices) = Self.merged(pixels, bits: bits) {
        (self.colors, self.indices) = (colors, indices)
        return
      }
    }
    preconditionFailure("4 opacities of 64 colours are at most 256")
  }

  /// With so many bits of each component, and four steps of opacity; nil where these are too many colours still.
  private static func merged(_ pixels: [UInt32], bits: UInt32) -> ([Color], [UInt8])? {
    var colors = [Color(red: 0, green: 0, blue: 0, opacity: 0)]
    var indices = [UInt8](repeating: 0, count: pixels.count)
    // One more than the index of each colour that has one.
    var known = [UInt16](repeating: 0, count: 1 << (3 * bits + 2))
    var last: (pixel: UInt32, index: UInt8) = (0, 0)
    for (position, pixel) in pixels.enumerated() {
      if pixel != last.pixel {
        guard let index = index(of: pixel, bits, &known, &colors) else { return nil }
        last = (pixel, index)
      }
      indices[position] = last.index
    }
    return (colors, indices)
  }

  private static func index(
    of pixel: UInt32, _ bits: UInt32, _ known: inout [UInt16], _ colors: inout [Color]
  ) -> UInt8? {
    let alpha = pixel >> 24
    let opacity = (alpha * 3 + 127) / 255
    guard opacity > 0 else { return 0 }
    let components = [16, 8, 0].map { min(255, ((pixel >> UInt32($0) & 0xff) * 255 + alpha / 2) / alpha) }
    let key = Int(components.reduce(opacity) { $0 << bits | $1 >> (8 - bits) })
    if known[key] == 0 {
      guard colors.count < 256 else { return nil }
      known[key] = UInt16(colors.count + 1)
      colors.append(
        Color(
          red: UInt8(components[0]), green: UInt8(components[1]), blue: UInt8(components[2]),
          opacity: UInt8(opacity * 85)))
    }
    return UInt8(known[key] - 1)
  }
}
