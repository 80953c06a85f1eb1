import SystemIO

/// A file's bytes in chunks, read ahead on a thread of its own where the system grants one.
final class ChunkSource: @unchecked Sendable {
  /// Chunks that were read and not used yet.
  private static let ahead = 8

  private let file: InputFile
  private let pool: ChunkPool
  private let arrived = Handover<Result<Chunk, any Error>>(capacity: ahead)
  private var thread: WorkThread?

  init(_ file: InputFile, _ pool: ChunkPool, isThreaded: Bool) {
    (self.file, self.pool) = (file, pool)
    guard isThreaded else { return }
    thread = WorkThread.start(stackSize: WorkThread.smallStack) { [file, pool, arrived] in
      while true {
        let chunk = Result { try Self.read(file, pool) }
        guard arrived.put(chunk), (try? chunk.get().count) ?? 0 > 0 else { return arrived.close() }
      }
    }
  }

  /// The next bytes; an empty chunk at the end of the file and ever after.
  func next() throws -> Chunk {
    guard thread != nil else { return try Self.read(file, pool) }
    return try arrived.take()?.get() ?? pool.take()
  }

  private static func read(_ file: InputFile, _ pool: ChunkPool) throws -> Chunk {
    let chunk = pool.take()
    chunk.count = try Trace.span("read bytes") {
      try file.read(into: UnsafeMutableRawBufferPointer(start: chunk.address, count: Chunk.size))
    }
    return chunk
  }

  /// Nothing is wanted any more. Returns when no thread reads the file, but for one where a read may wait without end.
  func cancel() {
    arrived.cancel()
    if file.canRewind { thread?.wait() }
  }
}
