import CPNG
import SystemIO

/// A picture in grey, and the comparison of two.
struct Picture {
  let width: Int
  let height: Int
  private(set) var pixels: [UInt8]

  init(png: [UInt8]) throws {
    var image = png_image()
    image.version = png_uint_32(PNG_IMAGE_VERSION)
    guard png_image_begin_read_from_memory(&image, png, png.count) != 0 else {
      throw Failure(.malformed, "not a PNG file")
    }
    image.format = png_uint_32(PNG_FORMAT_GRAY)
    pixels = [UInt8](repeating: 0, count: Int(image.width * image.height))
    (width, height) = (Int(image.width), Int(image.height))
    guard png_image_finish_read(&image, nil, &pixels, 0, nil) != 0 else {
      throw Failure(.malformed, "a damaged PNG file")
    }
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
  /// Blocks of 12 × 12 pixels may shift by a pixel each, which is what another hinting or version of the font does to a
  /// word. Thin lines weigh little in a block, so the brightness of whole rows and columns is compared as well.
  func difference(from reference: Picture) -> String? {
    guard (width, height) == (reference.width, reference.height) else {
      return "\(width) × \(height) pixels, the reference has \(reference.width) × \(reference.height)"
    }
    let side = 12
    for top in stride(from: 0, to: height, by: side) {
      for left in stride(from: 0, to: width, by: side) {
        var least = Double.infinity
        for shiftY in -1...1 {
          for shiftX in -1...1 {
            least = min(
              least,
              meanDifference(
                from: reference, columns: left..<min(left + side, width), rows: top..<min(top + side, height),
                shiftX, shiftY))
          }
        }
        if least > 7 { return "around (\(left), \(top)): by \(least) of 255" }
      }
    }
    let profiles = [(rowMeans, reference.rowMeans, "row"), (columnMeans, reference.columnMeans, "column")]
    for (ours, theirs, name) in profiles {
      for index in ours.indices {
        let near = theirs[max(0, index - 1)...min(theirs.count - 1, index + 1)]
        let least = near.map { abs($0 - ours[index]) }.min()!
        if least > 6 { return "\(name) \(index): by \(least) of 255" }
      }
    }
    return nil
  }

  private func meanDifference(
    from reference: Picture, columns: Range<Int>, rows: Range<Int>, _ shiftX: Int, _ shiftY: Int
  ) -> Double {
    var sum = 0
    for y in rows {
      let otherY = min(max(y + shiftY, 0), height - 1)
      for x in columns {
        let otherX = min(max(x + shiftX, 0), width - 1)
        sum += abs(Int(self[x, y]) - Int(reference[otherX, otherY]))
      }
    }
    return Double(sum) / Double(columns.count * rows.count)
  }

  private var rowMeans: [Double] {
    (0..<height).map { y in Double((0..<width).reduce(0) { $0 + Int(self[$1, y]) }) / Double(width) }
  }

  private var columnMeans: [Double] {
    (0..<width).map { x in Double((0..<height).reduce(0) { $0 + Int(self[x, $1]) }) / Double(height) }
  }
}
