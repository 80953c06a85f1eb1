import CZstd
import SystemIO

/// What surrounds contents that a zstd frame holds as they are (RFC 8878, 3.1.1).
enum StoredFrame {
  /// The most that a block may hold.
  static let blockSize = 128 << 10
  static let blockHeaderSize = 3
  static let checksumSize = 4

  /// With a checksum and the content size. The window is the content, or a block where there are more.
  static func header(contentSize: Int) -> [UInt8] {
    let isSingleSegment = contentSize <= blockSize
    let (flag, size): (UInt8, [UInt8]) =
      switch contentSize {
      case ..<256: (0, [UInt8(contentSize)])
      case ..<(65_536 + 256): (1, bytes(UInt16(contentSize - 256)))
      case ..<(1 << 32): (2, bytes(UInt32(contentSize)))
      default: (3, bytes(UInt64(contentSize)))
      }
    let descriptor = flag << 6 | (isSingleSegment ? 0x20 : 0) | 0x04
    // A window of 2^(10 + 7) bytes, a block's.
    return bytes(UInt32(ZSTD_MAGICNUMBER)) + [descriptor] + (isSingleSegment ? [] : [7 << 3]) + size
  }

  static func blockHeader(size: Int, isLast: Bool) -> [UInt8] {
    Array(bytes(UInt32(size << 3 | (isLast ? 1 : 0))).prefix(blockHeaderSize))
  }

  /// The low four bytes of the contents' hash.
  static func checksum(_ hash: ContentHash) -> [UInt8] { bytes(UInt32(truncatingIfNeeded: hash.value)) }

  private static func bytes<Number: FixedWidthInteger>(_ number: Number) -> [UInt8] {
    withUnsafeBytes(of: number.littleEndian, Array.init)
  }
}
