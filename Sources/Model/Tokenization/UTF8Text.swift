/// The scalar that starts at `position` of valid UTF-8, and its length in bytes.
func decodeScalar(at position: Int, of text: UnsafeRawBufferPointer) -> (Unicode.Scalar, length: Int) {
  let first = UInt32(text[position])
  func continuation(_ offset: Int) -> UInt32 { UInt32(text[position + offset]) & 0x3f }
  switch first {
  case ..<0x80: return (Unicode.Scalar(first)!, 1)
  case ..<0xe0: return (Unicode.Scalar((first & 0x1f) << 6 | continuation(1))!, 2)
  case ..<0xf0: return (Unicode.Scalar((first & 0x0f) << 12 | continuation(1) << 6 | continuation(2))!, 3)
  default:
    let high = (first & 0x07) << 18 | continuation(1) << 12
    return (Unicode.Scalar(high | continuation(2) << 6 | continuation(3))!, 4)
  }
}

/// The length in bytes of a scalar of valid UTF-8, by its first byte.
func lengthOfScalar(startingWith first: UInt8) -> Int { first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4 }

/// The scalar that ends before `position` of valid UTF-8, and where it starts; nil at the text's start.
func scalarEnding(at position: Int, of text: UnsafeRawBufferPointer) -> (scalar: Unicode.Scalar, start: Int)? {
  guard position > 0 else { return nil }
  var start = position - 1
  while text[start] & 0xc0 == 0x80 { start -= 1 }
  return (decodeScalar(at: start, of: text).0, start)
}

/// Where and how `error` says that `bytes` are not UTF-8: `byte 17: found 0xff`. Bytes count from 1.
func describe(_ error: UTF8.ValidationError, in bytes: [UInt8]) -> String {
  let offsets = error.byteOffsets
  let found = bytes[offsets].map { "0x" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: " ")
  return "byte \(offsets.lowerBound + 1): found \(found)"
}

extension Unicode.Scalar {
  /// Python's `str.isspace`: Unicode's White_Space and the four separators U+001C to U+001F.
  var isPythonSpace: Bool {
    ("\u{1c}"..."\u{1f}").contains(self) || properties.isWhitespace
  }
}
