import CZstd
import SystemIO

/// Bytes of a frame in a chunk, as they go out: headers in its margin, contents behind.
struct WirePiece {
  let chunk: Chunk
  let parts: [UnsafeRawBufferPointer]
}

/// Makes frames of contents that arrive in chunks.
final class FramePacker {
  enum Item {
    /// A frame begins.
    case frame(size: Int, isStored: Bool)
    case contents(Chunk, isLast: Bool)
    /// Something else that is to be done in this order.
    case meanwhile(() -> Void)
  }

  /// What zstd takes for level 1, about.
  static let contextSize = 1 << 20
  /// From so many bytes on, a frame is compressed by several threads, each of them a job of so many.
  private static let parallelFrom = 4 << 20
  private static let jobSize: Int32 = 1 << 20

  private let pool: ChunkPool
  private let emit: (WirePiece) -> Void
  private let context: OpaquePointer
  /// Threads that compress a large frame; 0 where the system grants none. What comes out is the same from 1 on.
  var workers = 0

  /// Of the frame at hand.
  private var isStored = false
  private var header: [UInt8] = []
  private var contentHash = ContentHash()

  init(_ pool: ChunkPool, compressionLevel: Int32, emit: @escaping (WirePiece) -> Void) {
    (self.pool, self.emit) = (pool, emit)
    guard let context = ZSTD_createCCtx() else { stop(.outOfMemory(Self.contextSize)) }
    self.context = context
    ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, compressionLevel)
    ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 1)
  }

  deinit { ZSTD_freeCCtx(context) }

  func add(_ item: Item) throws {
    switch item {
    case .frame(let size, let isStored):
      self.isStored = isStored
      if isStored {
        header = StoredFrame.header(contentSize: size)
        contentHash = ContentHash()
      } else {
        ZSTD_CCtx_reset(context, ZSTD_reset_session_only)
        let isParallel = size >= Self.parallelFrom && workers > 0
        ZSTD_CCtx_setParameter(context, ZSTD_c_nbWorkers, isParallel ? Int32(workers) : 0)
        if isParallel { ZSTD_CCtx_setParameter(context, ZSTD_c_jobSize, Self.jobSize) }
        ZSTD_CCtx_setPledgedSrcSize(context, UInt64(size))
      }
    case .contents(let chunk, let isLast):
      if isStored { store(chunk, isLast) } else { try compress(chunk, isLast) }
    case .meanwhile(let body): body()
    }
  }

  /// The chunk itself goes out, with what belongs before its blocks and behind them in its margin.
  private func store(_ chunk: Chunk, _ isLast: Bool) {
    var used = -Chunk.margin
    var parts: [UnsafeRawBufferPointer] = []
    func add(_ bytes: [UInt8]) {
      UnsafeMutableRawBufferPointer(start: chunk.address + used, count: bytes.count).copyBytes(from: bytes)
      parts.append(chunk.bytes(used..<used + bytes.count))
      used += bytes.count
      precondition(used <= 0)
    }
    if !header.isEmpty { add(header) }
    header = []
    contentHash.update(chunk.bytes(0..<chunk.count))
    var start = 0
    repeat {
      let size = min(chunk.count - start, StoredFrame.blockSize)
      add(StoredFrame.blockHeader(size: size, isLast: isLast && start + size == chunk.count))
      parts.append(chunk.bytes(start..<start + size))
      start += size
    } while start < chunk.count
    if isLast { add(StoredFrame.checksum(contentHash)) }
    pool.retain(chunk)
    emit(WirePiece(chunk: chunk, parts: parts))
  }

  private func compress(_ chunk: Chunk, _ isLast: Bool) throws {
    var source = ZSTD_inBuffer(src: chunk.address, size: chunk.count, pos: 0)
    while true {
      let packed = pool.take()
      var target = ZSTD_outBuffer(dst: packed.address, size: Chunk.size, pos: 0)
      let rest = ZSTD_compressStream2(context, &target, &source, isLast ? ZSTD_e_end : ZSTD_e_continue)
      if ZSTD_isError(rest) != 0 {
        if ZSTD_getErrorCode(rest) == ZSTD_error_memory_allocation { throw Failure.outOfMemory(Self.contextSize) }
        throw Failure(.bug, "zstd compression: \(String(cString: ZSTD_getErrorName(rest)))")
      }
      packed.count = target.pos
      if target.pos > 0 {
        emit(WirePiece(chunk: packed, parts: [packed.bytes(0..<target.pos)]))
      } else {
        pool.release(packed)
      }
      if isLast ? rest == 0 : source.pos == source.size { return }
    }
  }
}
