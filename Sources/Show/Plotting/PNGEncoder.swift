import CPNG

/// Opaque pixels as a PNG file.
///
/// - Parameters:
///   - pixels: Cairo's RGB24: 32 bits a pixel, the highest byte unused, `stride` bytes a row.
///   - resolution: pixels an inch.
///   - texts: keyword and value of each text chunk.
func encodedAsPNG(
  pixels: UnsafePointer<UInt8>, width: Int, height: Int, stride: Int, resolution: Double,
  texts: [(key: String, value: String)]
) -> [UInt8] {
  encodedAsPNG { png, info in
    let indexed = IndexedPixels(pixels: pixels, width: width, height: height, stride: stride)
    png_set_IHDR(
      png, info, png_uint_32(width), png_uint_32(height), 8,
      indexed == nil ? PNG_COLOR_TYPE_RGB : PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
      PNG_FILTER_TYPE_DEFAULT)
    if let indexed {
      let palette = indexed.colors.map {
        png_color(red: UInt8($0 >> 16 & 0xff), green: UInt8($0 >> 8 & 0xff), blue: UInt8($0 & 0xff))
      }
      png_set_PLTE(png, info, palette, CInt(palette.count))
    }
    let pixelsPerMetre = png_uint_32((resolution / 0.0254).rounded())
    png_set_pHYs(png, info, pixelsPerMetre, pixelsPerMetre, PNG_RESOLUTION_METER)
    setTexts(texts, png, info)
    // Flat areas and text, which zlib finds at any level: the higher ones take twice the time for a tenth of the size.
    png_set_compression_level(png, 2)
    png_set_filter(png, 0, PNG_FILTER_NONE)
    png_write_info(png, info)
    if let indexed {
      indexed.indices.withUnsafeBufferPointer { indices in
        for row in 0..<height { png_write_row(png, indices.baseAddress! + row * width) }
      }
    } else {
      png_set_filler(png, 0, PNG_FILLER_AFTER)
      png_set_bgr(png)
      for row in 0..<height { png_write_row(png, pixels + row * stride) }
    }
  }
}

/// Pixels with opacity as a PNG file of at most 256 colours: shades are merged until there are so few.
///
/// - Parameter pixels: premultiplied ARGB, row by row.
func encodedAsPNG(merging pixels: [UInt32], width: Int, height: Int) -> [UInt8] {
  let merged = MergedColors(pixels)
  return encodedAsPNG { png, info in
    png_set_IHDR(
      png, info, png_uint_32(width), png_uint_32(height), 8, PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE,
      PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT)
    let palette = merged.colors.map { png_color(red: $0.red, green: $0.green, blue: $0.blue) }
    png_set_PLTE(png, info, palette, CInt(palette.count))
    png_set_tRNS(png, info, merged.colors.map(\.opacity), CInt(palette.count), nil)
    png_set_compression_level(png, 9)
    png_set_filter(png, 0, PNG_FILTER_NONE)
    png_write_info(png, info)
    merged.indices.withUnsafeBufferPointer { indices in
      for row in 0..<height { png_write_row(png, indices.baseAddress! + row * width) }
    }
  }
}

/// What `write` has libpng write, up to the end of the picture.
private func encodedAsPNG(_ write: (png_structp?, png_infop?) -> Void) -> [UInt8] {
  let sink = ByteSink()
  // Everything libpng could complain of here is a bug of ours, or memory that ran out: the bytes go to memory, and
  // the header is made of numbers that Cairo has accepted. The handler may not return.
  var png = png_create_write_struct(
    PNG_LIBPNG_VER_STRING, nil, { _, message in fatalError("libpng: \(message.map { String(cString: $0) } ?? "")") },
    { _, _ in })
  var info = png_create_info_struct(png)
  defer { png_destroy_write_struct(&png, &info) }
  png_set_write_fn(
    png, Unmanaged.passUnretained(sink).toOpaque(),
    { png, bytes, count in
      let sink = Unmanaged<ByteSink>.fromOpaque(png_get_io_ptr(png)!).takeUnretainedValue()
      sink.bytes.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
    }, nil)
  write(png, info)
  png_write_end(png, info)
  return sink.bytes
}

/// tEXt where Latin-1 can say it, which every tool shows; iTXt for the rest.
private func setTexts(_ texts: [(key: String, value: String)], _ png: png_structp?, _ info: png_infop?) {
  for (key, value) in texts {
    let isLatin = value.unicodeScalars.allSatisfy(\.isASCII)
    // Keywords have at most 79 bytes.
    var keyword = Array(key.utf8.prefix(79).map { CChar(bitPattern: $0) }) + [0]
    var text = value.utf8.filter { $0 != 0 }.map { CChar(bitPattern: $0) } + [0]
    var empty: [CChar] = [0]
    keyword.withUnsafeMutableBufferPointer { keyword in
      text.withUnsafeMutableBufferPointer { text in
        empty.withUnsafeMutableBufferPointer { empty in
          var chunk = png_text()
          chunk.compression = isLatin ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE
          chunk.key = keyword.baseAddress
          chunk.text = text.baseAddress
          chunk.lang = empty.baseAddress
          chunk.lang_key = empty.baseAddress
          png_set_text(png, info, &chunk, 1)
        }
      }
    }
  }
}

/// Takes the bytes of a picture from a C library, which has a pointer to it.
final class ByteSink {
  var bytes: [UInt8] = []
}
