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
  /// Memory follows what is really there: a frame of a few bytes may promise gigabytes.
  private static let firstReserve = 4 << 20

  /// What zstd takes before it knows of any window, about.
  private static let contextSize = 1 << 18

  private let source: ChunkSource
  private let pool: ChunkPool
  private let hash: StreamHash
  private let memory: FrameMemory
  private let context: OpaquePointer
  /// Of the frames so far.
  private var count = 0
  /// The chunk that is being used, and its bytes that were read and not used yet: from below 0 where they began in the
  /// chunk before.
  private var chunk: Chunk
  private var pending = 0..<0
  /// Where the bytes begin that `hash` has not been given.
  private var unhashed = 0

  init(_ source: ChunkSource, _ pool: ChunkPool, _ hash: StreamHash, _ memory: FrameMemory) {
    (self.source, self.pool, self.hash, self.memory) = (source, pool, hash, memory)
    chunk = pool.take()
    guard let context = ZSTD_createDCtx() else { stop(.outOfMemory(Self.contextSize)) }
    self.context = context
    ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, Self.maximumWindowLog)
  }

  deinit { ZSTD_freeDCtx(context) }

  /// The next frame; nil at the end of the file.
  func next() throws -> Frame? {
    guard try fill(atLeast: 1) else { return nil }
    let frame = try frameHeader()
    hash.start(frame)
    use(frame.header.count)
    if try !readStoredBlocks(of: frame) { try decompress(frame) }
    handHashed()
    return frame
  }

  /// Copies blocks that hold their bytes as they are, and checks the checksum behind the last one.
  ///
  /// - Returns: false before anything that is not such a block, or is none that may come here: zstd has a word for it.
  private func readStoredBlocks(of frame: Frame) throws -> Bool {
    var contentHash = ContentHash()
    while true {
      guard try fill(atLeast: StoredFrame.blockHeaderSize) else { throw Self.truncated }
      let bytes = start.assumingMemoryBound(to: UInt8.self)
      let header = Int(bytes[0]) | Int(bytes[1]) << 8 | Int(bytes[2]) << 16
      let (isLast, type, size) = (header & 1 == 1, header >> 1 & 3, header >> 3)
      let end = frame.produced + size
      guard type == 0, size <= frame.blockSize, isLast ? end == frame.declared : end <= frame.declared else {
        return false
      }
      use(StoredFrame.blockHeaderSize)
      while frame.produced < end {
        guard try fill(atLeast: 1) else { throw Self.truncated }
        let count = min(pending.count, end - frame.produced)
        try reserve(frame.produced + count, in: frame)
        (frame.contents.address + frame.produced).copyMemory(from: start, byteCount: count)
        contentHash.update(UnsafeRawBufferPointer(start: start, count: count))
        frame.produced += count
        use(count)
      }
      guard isLast else { continue }
      guard try fill(atLeast: StoredFrame.checksumSize) else { throw Self.truncated }
      guard
        UnsafeRawBufferPointer(start: start, count: StoredFrame.checksumSize)
          .elementsEqual(StoredFrame.checksum(contentHash))
      else { throw Self.damaged(ZSTD_getErrorString(ZSTD_error_checksum_wrong)) }
      use(StoredFrame.checksumSize)
      return true
    }
  }

  /// Reads on by zstd, which is shown first what was copied without it.
  private func decompress(_ frame: Frame) throws {
    ZSTD_DCtx_reset(context, ZSTD_reset_session_only)
    try reserve(min(frame.declared, Self.firstReserve), in: frame)
    let copied = frame.produced
    frame.produced = 0
    _ = try frame.header.withUnsafeBytes { try decompress($0, into: frame) }
    if copied > 0 {
      let block = AlignedBuffer(capacity: frame.blockSize)
      while frame.produced < copied {
        let size = min(frame.blockSize, copied - frame.produced)
        block.address.copyMemory(from: frame.contents.address + frame.produced, byteCount: size)
        _ = try StoredFrame.blockHeader(size: size, isLast: false).withUnsafeBytes { try decompress($0, into: frame) }
        _ = try decompress(UnsafeRawBufferPointer(start: block.address, count: size), into: frame)
      }
    }
    while true {
      if frame.produced == frame.contents.capacity, frame.produced < frame.declared {
        try reserve(frame.produced + 1, in: frame)
      }
      let (used, rest) = try decompress(UnsafeRawBufferPointer(start: start, count: pending.count), into: frame)
      use(used)
      if rest == 0 { return }
      let isDrained = frame.produced == frame.declared || frame.produced < frame.contents.capacity
      if pending.isEmpty, isDrained, try !fill(atLeast: 1) { throw Self.truncated }
    }
    // zstd itself refuses a frame that holds more or less than it declares.
  }

  /// - Returns: how many of the bytes were used, and what `ZSTD_decompressStream` returns.
  private func decompress(_ bytes: UnsafeRawBufferPointer, into frame: Frame) throws -> (used: Int, rest: Int) {
    var output = ZSTD_outBuffer(
      dst: frame.contents.address, size: min(frame.contents.capacity, frame.declared), pos: frame.produced)
    var source = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
    let rest = ZSTD_decompressStream(context, &output, &source)
    if ZSTD_isError(rest) != 0 {
      if ZSTD_getErrorCode(rest) == ZSTD_error_memory_allocation { throw Failure.outOfMemory(Self.maximumWindow) }
      throw Self.damaged(ZSTD_getErrorName(rest))
    }
    frame.produced = output.pos
    return (source.pos, rest)
  }

  private static let truncated = Failure(.malformed, "truncated: the stream ends inside a zstd frame")

  private static func damaged(_ reason: UnsafePointer<CChar>) -> Failure {
    Failure(.malformed, "damaged zstd frame: \(String(cString: reason))")
  }

  /// Memory for `count` bytes of the frame, doubled where it grows.
  private func reserve(_ count: Int, in frame: Frame) throws {
    guard count > frame.claimed else { return }
    let wanted = min(frame.declared, max(count, 2 * max(frame.claimed, frame.produced), Self.firstReserve))
    try memory.claim(wanted, for: frame)
  }

  /// Checks the frame header (RFC 8878, 3.1.1.1) and returns the frame, of which nothing else has been used.
  private func frameHeader() throws -> Frame {
    let truncated = Failure(.malformed, "truncated: the stream ends inside a zstd frame header")
    guard try fill(atLeast: 5) else { throw truncated }
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
    // zstd refuses too large a window only where the frame does not lie in memory as a whole, which depends on how the
    // bytes happen to arrive.
    var window = isSingleSegment ? 0 : windowSize(start.load(fromByteOffset: 5, as: UInt8.self))
    try checkWindow(window)
    let declared = ZSTD_getFrameContentSize(start, length)
    guard declared <= UInt64(Self.maximumContent) else {
      throw Failure(
        .malformed, "zstd frame too large: expected at most \(Self.maximumContent) bytes, found \(declared)")
    }
    if isSingleSegment { window = Int(declared) }
    try checkWindow(window)
    defer { count += 1 }
    return Frame(
      number: count, header: Array(UnsafeRawBufferPointer(start: start, count: length)), declared: Int(declared),
      blockSize: min(window, StoredFrame.blockSize), memory.spareBuffer(for: Int(declared)))
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

  private var start: UnsafeMutableRawPointer { chunk.address + pending.lowerBound }

  private func use(_ count: Int) { pending = pending.lowerBound + count..<pending.upperBound }

  private func handHashed() {
    if unhashed < pending.lowerBound { hash.add(chunk, unhashed..<pending.lowerBound) }
    unhashed = pending.lowerBound
  }

  /// Reads until `count` bytes are pending, at most the margin of a chunk; false when the file ends before.
  private func fill(atLeast count: Int) throws -> Bool {
    while pending.count < count {
      let next = try source.next()
      if next.count == 0 {
        pool.release(next)
        return false
      }
      handHashed()
      // What is left lies before the next bytes, so that a header is in one piece.
      let left = pending.count
      (next.address - left).copyMemory(from: start, byteCount: left)
      pool.release(chunk)
      chunk = next
      pending = -left..<next.count
      unhashed = -left
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
