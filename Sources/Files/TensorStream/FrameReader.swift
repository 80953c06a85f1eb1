import CZstd
import SystemIO

/// Reads one zstd frame after another and returns each one's contents.
///
/// Stricter than zstd: a frame must state its content size and carry a checksum, so that no bit can change unseen.
final class FrameReader {
  /// The largest content one frame may have: a batch of 32,768 tokens with 24 layers captured takes 5.6 GB.
  static let maximumContent = 16 << 30
  /// The largest window a frame may ask for, 8 MB: what levels up to 19 use, and all the memory a hostile frame gets.
  static let maximumWindow = 1 << maximumWindowLog
  private static let maximumWindowLog: Int32 = 23

  /// What zstd takes before it knows of any window, about.
  private static let contextSize = 1 << 18

  private let file: InputFile
  private let context: OpaquePointer
  private let input = AlignedBuffer(capacity: 1 << 20)
  /// The bytes of `input` that were read and not used yet.
  private var pending = 0..<0
  private var contents = AlignedBuffer(capacity: 1 << 16)
  /// Of the compressed bytes of all frames since `startHashing()`.
  private(set) var hash = ContentHash()

  init(_ file: InputFile) {
    self.file = file
    guard let context = ZSTD_createDCtx() else { stop(.outOfMemory(Self.contextSize)) }
    self.context = context
    ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Self.maximumWindowLog)
  }

  deinit { ZSTD_freeDCtx(context) }

  func startHashing() { hash = ContentHash() }

  /// The contents of the next frame, valid until the next call; nil at the end of the file.
  func next() throws -> UnsafeRawBufferPointer? {
    guard try fill(atLeast: 1) else { return nil }
    let declared = try frameHeader()
    ZSTD_DCtx_reset(context, ZSTD_reset_session_only)
    // Memory follows what is really there: a frame of a few bytes may promise gigabytes.
    contents.reserve(min(declared, 4 << 20))
    var produced = 0
    while true {
      if produced == contents.capacity, produced < declared {
        contents.reserve(min(declared, contents.capacity * 2), preserving: produced)
      }
      var output = ZSTD_outBuffer(dst: contents.address, size: min(contents.capacity, declared), pos: produced)
      var source = ZSTD_inBuffer(src: input.address + pending.lowerBound, size: pending.count, pos: 0)
      let rest = ZSTD_decompressStream(context, &output, &source)
      if ZSTD_isError(rest) != 0 {
        if ZSTD_getErrorCode(rest) == ZSTD_error_memory_allocation { throw Failure.outOfMemory(Self.maximumWindow) }
        throw Failure(.malformed, "damaged zstd frame: \(String(cString: ZSTD_getErrorName(rest)))")
      }
      hash.update(UnsafeRawBufferPointer(start: source.src, count: source.pos))
      pending = pending.lowerBound + source.pos..<pending.upperBound
      produced = output.pos
      if rest == 0 { break }
      if pending.isEmpty, produced == declared || produced < contents.capacity, try !fill(atLeast: 1) {
        throw Failure(.malformed, "truncated: the stream ends inside a zstd frame")
      }
    }
    // zstd itself refuses a frame that holds more or less than it declares.
    return UnsafeRawBufferPointer(start: contents.address, count: produced)
  }

  /// Checks the frame header (RFC 8878, 3.1.1.1) and returns the content size that it declares.
  private func frameHeader() throws -> Int {
    let truncated = Failure(.malformed, "truncated: the stream ends inside a zstd frame header")
    guard try fill(atLeast: 5) else { throw truncated }
    var start = input.address + pending.lowerBound
    let magic = UInt32(littleEndian: start.loadUnaligned(as: UInt32.self))
    guard magic == ZSTD_MAGICNUMBER else {
      let found = otherContent(UnsafeRawBufferPointer(start: start, count: pending.count))
      throw Failure(.malformed, "not a tensor stream: expected a zstd frame, found \(found)")
    }
    let descriptor = start.load(fromByteOffset: 4, as: UInt8.self)
    let sizeFlag = Int(descriptor >> 6)
    let isSingleSegment = descriptor & 0x20 != 0
    // Bit 4 is unused and ignored by zstd itself; refused here, or a flip of it would go unnoticed.
    guard descriptor & 0x1b == 0 else {
      throw Failure(
        .malformed, "zstd frame header: expected no dictionary and no reserved bits, found \(hexadecimal(start + 4, 1))"
      )
    }
    guard descriptor & 0x04 != 0 else {
      throw Failure(.malformed, "zstd frame header: expected a content checksum, found none")
    }
    guard isSingleSegment || sizeFlag != 0 else {
      throw Failure(.malformed, "zstd frame header: expected a content size, found none")
    }
    let length = 5 + (isSingleSegment ? 0 : 1) + [1, 2, 4, 8][sizeFlag]
    guard try fill(atLeast: length) else { throw truncated }
    start = input.address + pending.lowerBound
    // zstd refuses too large a window only where the frame does not lie in memory as a whole, which depends on how the
    // bytes happen to arrive.
    if !isSingleSegment { try checkWindow(windowSize(start.load(fromByteOffset: 5, as: UInt8.self))) }
    let declared = ZSTD_getFrameContentSize(start, length)
    guard declared <= UInt64(Self.maximumContent) else {
      throw Failure(
        .malformed, "zstd frame too large: expected at most \(Self.maximumContent) bytes, found \(declared)")
    }
    if isSingleSegment { try checkWindow(Int(declared)) }
    return Int(declared)
  }

  private func checkWindow(_ size: Int) throws {
    guard size <= Self.maximumWindow else {
      throw Failure(
        .malformed, "zstd frame window too large: expected at most \(Self.maximumWindow) bytes, found \(size)")
    }
  }

  /// RFC 8878, 3.1.1.1.2.
  private func windowSize(_ descriptor: UInt8) -> Int {
    let base = 1 << (10 + Int(descriptor >> 3))
    return base + base / 8 * Int(descriptor & 7)
  }

  /// Reads until `count` bytes are pending; false when the file ends before.
  private func fill(atLeast count: Int) throws -> Bool {
    if pending.isEmpty { pending = 0..<0 }
    if pending.lowerBound + count > input.capacity {
      input.address.copyMemory(from: input.address + pending.lowerBound, byteCount: pending.count)
      pending = 0..<pending.count
    }
    while pending.count < count {
      let room = UnsafeMutableRawBufferPointer(
        start: input.address + pending.upperBound, count: input.capacity - pending.upperBound)
      let count = try file.read(into: room)
      if count == 0 { return false }
      pending = pending.lowerBound..<pending.upperBound + count
    }
    return true
  }

  /// What stands where a frame should, in words.
  private func otherContent(_ bytes: UnsafeRawBufferPointer) -> String {
    if let known = knownForeignContent(bytes) { return known }
    let start = bytes.prefix(24)
    let line = start.prefix { ![0x0a, 0x0d].contains($0) }
    let isText = start.allSatisfy { (0x20..<0x7f).contains($0) || [0x09, 0x0a, 0x0d].contains($0) }
    guard isText else { return "the bytes \(hexadecimal(bytes.baseAddress!, 4))" }
    return line.isEmpty ? "text" : "text that begins with '\(String(decoding: line, as: UTF8.self))'"
  }

  private func hexadecimal(_ bytes: UnsafeRawPointer, _ count: Int) -> String {
    (0..<count).map { index in
      let byte = bytes.load(fromByteOffset: index, as: UInt8.self)
      return (byte < 16 ? "0" : "") + String(byte, radix: 16)
    }.joined()
  }
}
