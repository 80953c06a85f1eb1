import SystemIO

/// Little-endian fields at offsets that the file itself names, and which may therefore point anywhere.
struct ByteReader {
  let bytes: UnsafeRawBufferPointer

  func u16(_ offset: Int) throws(Failure) -> Int { Int(try field(offset, as: UInt16.self)) }

  func u32(_ offset: Int) throws(Failure) -> Int { Int(try field(offset, as: UInt32.self)) }

  /// A 64-bit field, which must fit `Int`: no file is larger.
  func u64(_ offset: Int) throws(Failure) -> Int {
    let value = try field(offset, as: UInt64.self)
    guard let int = Int(exactly: value) else {
      throw Failure(.malformed, "zip: byte \(offset): expected a size below 2^63, found \(value)")
    }
    return int
  }

  func slice(_ offset: Int, _ count: Int) throws(Failure) -> UnsafeRawBufferPointer {
    guard offset >= 0, count >= 0, offset <= bytes.count, count <= bytes.count - offset else {
      throw Failure(
        .malformed, "zip: byte \(offset): expected \(count) bytes, found the end of the file at \(bytes.count)")
    }
    return UnsafeRawBufferPointer(rebasing: bytes[offset..<offset + count])
  }

  private func field<Integer: FixedWidthInteger>(_ offset: Int, as type: Integer.Type) throws(Failure) -> Integer {
    Integer(littleEndian: try slice(offset, MemoryLayout<Integer>.size).loadUnaligned(as: type))
  }
}
