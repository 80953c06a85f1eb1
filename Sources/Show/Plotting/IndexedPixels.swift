/// A picture of at most 256 colours as indices into a palette, a third of the bytes to compress. Histograms have so few.
struct IndexedPixels {
  /// 0xRRGGBB
  private(set) var colors: [UInt32] = []
  private(set) var indices: [UInt8]

  /// - Parameter pixels: Cairo's RGB24.
  /// - Returns: nil where there are more colours.
  init?(pixels: UnsafePointer<UInt8>, width: Int, height: Int, stride: Int) {
    // An open hash table of colours, at most a quarter full; 0xffffffff is no colour.
    let slotCount = 1024
    var slots = [UInt32](repeating: .max, count: slotCount)
    var slotIndices = [UInt8](repeating: 0, count: slotCount)
    indices = [UInt8](repeating: 0, count: width * height)
    // Most pixels have the colour of the one before.
    var (lastColor, lastIndex): (UInt32, UInt8) = (.max, 0)
    for y in 0..<height {
      let row = UnsafeRawPointer(pixels + y * stride)
      for x in 0..<width {
        let color = row.load(fromByteOffset: x * 4, as: UInt32.self) & 0xff_ffff
        if color != lastColor {
          var slot = Int(truncatingIfNeeded: (color &* 0x9e37_79b1) >> 22)
          while slots[slot] != color, slots[slot] != .max { slot = (slot + 1) % slotCount }
          if slots[slot] == .max {
            guard colors.count < 256 else { return nil }
            slots[slot] = color
            slotIndices[slot] = UInt8(colors.count)
            colors.append(color)
          }
          (lastColor, lastIndex) = (color, slotIndices[slot])
        }
        indices[y * width + x] = lastIndex
      }
    }
  }
}
