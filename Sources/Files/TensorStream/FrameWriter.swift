import CZstd
import SystemIO

/// Writes each record as one zstd frame, with its content size in the header and a checksum behind it.
final class FrameWriter {
  /// What zstd takes for level 1, about.
  private static let contextSize = 1 << 20

  private let file: OutputFile
  private let context: OpaquePointer
  private let compressionLevel: Int32
  private let output = AlignedBuffer(capacity: 1 << 20)
  /// Of the compressed bytes of all frames since `startHashing()`.
  private(set) var hash = ContentHash()

  init(_ file: OutputFile, compressionLevel: Int32) {
    self.file = file
    self.compressionLevel = compressionLevel
    guard let context = ZSTD_createCCtx() else { stop(.outOfMemory(Self.contextSize)) }
    self.context = context
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1)
  }

  deinit { ZSTD_freeCCtx(context) }

  func startHashing() { hash = ContentHash() }

  /// One frame of all `pieces`, end to end, none of them copied.
  ///
  /// - Parameter stored: keeps the contents as they are. Some bits of a compressed block have no meaning, and a flip
  ///   of one goes unnoticed; of a stored block every bit counts.
  func write(_ pieces: [UnsafeRawBufferPointer], stored: Bool = false) throws {
    ZSTD_CCtx_reset(context, ZSTD_reset_session_only)
    // The fastest level looks for a match once in 131,072 bytes: it finds none, and zstd then stores the block.
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, stored ? ZSTD_minCLevel() : compressionLevel)
    ZSTD_CCtx_setPledgedSrcSize(context, UInt64(pieces.reduce(0) { $0 + $1.count }))
    for piece in pieces.dropLast() { try compress(piece, ZSTD_e_continue) }
    try compress(pieces.last ?? .init(start: nil, count: 0), ZSTD_e_end)
  }

  private func compress(_ piece: UnsafeRawBufferPointer, _ directive: ZSTD_EndDirective) throws {
    var source = ZSTD_inBuffer(src: piece.baseAddress, size: piece.count, pos: 0)
    while true {
      var target = ZSTD_outBuffer(dst: output.address, size: output.capacity, pos: 0)
      let rest = ZSTD_compressStream2(context, &target, &source, directive)
      if ZSTD_isError(rest) != 0 {
        if ZSTD_getErrorCode(rest) == ZSTD_error_memory_allocation { throw Failure.outOfMemory(Self.contextSize) }
        throw Failure(.bug, "zstd compression: \(String(cString: ZSTD_getErrorName(rest)))")
      }
      let bytes = UnsafeRawBufferPointer(start: target.dst, count: target.pos)
      hash.update(bytes)
      try file.write(bytes)
      if directive == ZSTD_e_end ? rest == 0 : source.pos == source.size { return }
    }
  }

  func finish() throws { try file.finish() }
}
