import CPNG
import SystemIO

/// A picture in grey, and the comparison of two.
struct Picture {
  let width: Int
  let height: Int
  private(set) var pixels: [UInt8]

  init(png: [UInt8]) throws {
    (pixels, width, height) = try decodedPNG(png, format: png_uint_32(PNG_FORMAT_GRAY), channels: 1)
  }

  subscript(x: Int, y: Int) -> UInt8 { pixels[y * width + x] }

  mutating func erase(x: Range<Int>, y: Range<Int>) {
    for row in y { for column in x { pixels[row * width + column] = 255 } }
  }

  /// The contents of the rectangle one pixel further right and down.
  mutating func nudge(x: Range<Int>, y: Range<Int>) {
    for row in y.reversed() {
      for column in x.reversed() { pixels[(row + 1) * width + column + 1] = pixels[row * width + column] }
    }
  }

  /// Where the two differ by more than a font a pixel off, in words; nil where they do not.
  ///
  /// A pixel is as it should be where it lies between the darkest and the brightest of the other picture's pixels
  /// around it: true of everything that moved by up to a pixel, or is smoothed otherwise. What is missing in one
  /// picture has no counterpart around it in the other, and what is beyond the range adds up over blocks of 12 × 12.
  func difference(from reference: Picture) -> String? {
    guard (width, height) == (reference.width, reference.height) else {
      return "\(width) × \(height) pixels, the reference has \(reference.width) × \(reference.height)"
    }
    let side = 12
    for (one, other) in [(self, reference), (reference, self)] {
      let excess = one.excess(over: other)
      for top in stride(from: 0, to: height, by: side) {
        for left in stride(from: 0, to: width, by: side) {
          var sum = 0
          for y in top..<min(top + side, height) {
            for x in left..<min(left + side, width) { sum += Int(excess[y * width + x]) }
          }
          // A grid line, the faintest element of all, crosses a block with 12 × 29 = 348.
          if sum > 288 { return "around (\(left), \(top)): by \(sum) in 144 pixels" }
        }
      }
    }
    return nil
  }

  private func excess(over other: Picture) -> [UInt8] {
    var excess = [UInt8](repeating: 0, count: pixels.count)
    for y in 0..<height {
      for x in 0..<width {
        let value = self[x, y]
        var (low, high): (UInt8, UInt8) = (255, 0)
        for row in max(0, y - 1)...min(height - 1, y + 1) {
          for column in max(0, x - 1)...min(width - 1, x + 1) {
            low = min(low, other[column, row])
            high = max(high, other[column, row])
          }
        }
        excess[y * width + x] = value > high ? value - high : value < low ? low - value : 0
      }
    }
    return excess
  }
}

/// A picture's pixels as colours.
struct Colours {
  struct Pixel {
    let red: Int
    let green: Int
    let blue: Int

    var isGreen: Bool { green > max(red, blue) + 24 }
    var isBlue: Bool { blue > red + 60 && blue > green + 24 }
    var isOrange: Bool { red > blue + 60 && red > green + 24 }
  }

  let width: Int
  let height: Int
  private let bytes: [UInt8]

  init(png: [UInt8]) throws {
    (bytes, width, height) = try decodedPNG(png, format: png_uint_32(PNG_FORMAT_RGB), channels: 3)
  }

  subscript(x: Int, y: Int) -> Pixel {
    let start = (y * width + x) * 3
    return Pixel(red: Int(bytes[start]), green: Int(bytes[start + 1]), blue: Int(bytes[start + 2]))
  }

  func count(in columns: Range<Int>? = nil, _ isMatch: (Pixel) -> Bool) -> Int {
    (columns ?? 0..<width).reduce(0) { sum, x in sum + (0..<height).count { isMatch(self[x, $0]) } }
  }
}

private func decodedPNG(
  _ png: [UInt8], format: png_uint_32, channels: Int
) throws -> (pixels: [UInt8], width: Int, height: Int) {
  var image = png_image()
  image.version = png_uint_32(PNG_IMAGE_VERSION)
  var pixels: [UInt8] = []
  // libpng keeps the address of the file's bytes from the first call for the second.
  try png.withUnsafeBytes { png in
    guard png_image_begin_read_from_memory(&image, png.baseAddress, png.count) != 0 else {
      throw Failure(.malformed, "not a PNG file")
    }
    image.format = format
    pixels = [UInt8](repeating: 0, count: Int(image.width * image.height) * channels)
    guard png_image_finish_read(&image, nil, &pixels, 0, nil) != 0 else {
      throw Failure(.malformed, "a damaged PNG file")
    }
  }
  return (pixels, Int(image.width), Int(image.height))
}
