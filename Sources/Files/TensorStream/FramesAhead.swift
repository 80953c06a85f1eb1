import SystemIO

/// A stream's frames in order, read and unpacked ahead on threads of their own, as far as memory allows. What is wrong
/// with a frame comes up when it is its turn.
///
/// Where the system grants no threads, each frame is read when it is asked for.
final class FramesAhead {
  private let file: InputFile
  private let hash: StreamHash
  private let source: ChunkSource
  private let memory: FrameMemory
  private let reader: FrameReader
  private let arrived = Handover<Result<Frame?, any Error>>(capacity: 64)
  private let thread: WorkThread?
  private var current: Frame?
  /// What came at the end of the file, or what is wrong there.
  private var last: Result<Frame?, any Error>?

  /// - Parameter isThreaded: false reads each frame when it is asked for.
  init(_ file: InputFile, memoryAhead: Int, isThreaded: Bool) {
    self.file = file
    file.widenPipe()
    let pool = ChunkPool()
    hash = StreamHash(pool, isThreaded: isThreaded)
    source = ChunkSource(file, pool, isThreaded: isThreaded)
    memory = FrameMemory(limit: memoryAhead)
    reader = FrameReader(source, pool, hash, memory)
    thread =
      isThreaded
      ? WorkThread.start(stackSize: WorkThread.smallStack) { [reader, arrived] in
        while true {
          let frame = Result { try Trace.span("unpack", reader.next) }
          guard arrived.put(frame), case .success(.some) = frame else { return }
        }
      } : nil
  }

  deinit {
    arrived.cancel()
    memory.cancel()
    source.cancel()
    hash.cancel()
    // Whoever reads the file again finds nobody at it. A read from a pipe may wait without end, and nobody follows.
    if file.canRewind { thread?.wait() }
  }

  /// The contents of the next frame, valid until the next call; nil at the end of the file.
  func next() throws -> UnsafeRawBufferPointer? {
    if let current { memory.release(current.contents) }
    current = nil
    memory.wantNext()
    let arrival = last ?? (thread == nil ? Result { try reader.next() } : arrived.take()!)
    guard case .success(let frame?) = arrival else {
      last = arrival
      _ = try arrival.get()
      return nil
    }
    memory.deliver(frame)
    current = frame
    return frame.bytes
  }

  /// Says of the frame that came last whether a segment ends with it.
  func judge(endsSegment: Bool) { hash.judge(current!, endsSegment: endsSegment) }

  /// Of the compressed bytes of the segment's frames before the one that came last, which may end it.
  func hashBefore() -> ContentHash { hash.before(current!) }
}
