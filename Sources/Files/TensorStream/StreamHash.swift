import SystemIO

/// The hash of a segment's frames as they lie in the file, made on a thread of its own where the system grants one.
///
/// A segment ends with its end record, which only who takes the records can tell: so that no more is held than needs be,
/// this waits for the word on frames that are small enough to be one.
final class StreamHash: @unchecked Sendable {
  private enum Item {
    case start(Frame)
    case bytes(Chunk, Range<Int>)
  }

  /// Belongs to the stage.
  private var hash = ContentHash()
  /// The frame before, where it may end the segment.
  private var last: Frame?
  private let pool: ChunkPool
  private let monitor = Monitor()
  private var isCancelled = false
  private var stage: Stage<Item>!

  init(_ pool: ChunkPool, isThreaded: Bool) {
    self.pool = pool
    stage = Stage(capacity: 8, isThreaded: isThreaded) { [unowned self] item in add(item) }
    stage.start()
  }

  func start(_ frame: Frame) { stage.put(.start(frame)) }

  func add(_ chunk: Chunk, _ range: Range<Int>) {
    pool.retain(chunk)
    stage.put(.bytes(chunk, range))
  }

  private func add(_ item: Item) {
    switch item {
    case .start(let frame):
      startSegmentWhereOneEnded()
      // No larger one: its memory is not to be held.
      last = frame.canEndSegment ? frame : nil
      if frame.canEndSegment { monitor.changing { frame.hashBefore = hash } }
    case .bytes(let chunk, let range):
      hash.update(chunk.bytes(range))
      pool.release(chunk)
    }
  }

  private func startSegmentWhereOneEnded() {
    guard let last else { return }
    monitor.locked {
      monitor.wait { last.endsSegment != nil || isCancelled }
      if last.endsSegment == true { hash = ContentHash() }
    }
  }

  /// Says whether the segment ends with this frame.
  func judge(_ frame: Frame, endsSegment: Bool) { monitor.changing { frame.endsSegment = endsSegment } }

  /// Of the segment's frames before this one, which may end it.
  func before(_ frame: Frame) -> ContentHash {
    monitor.locked {
      monitor.wait { frame.hashBefore != nil }
      return frame.hashBefore!
    }
  }

  /// Nothing is wanted any more. Returns when the thread has ended.
  func cancel() {
    monitor.changing { isCancelled = true }
    stage.cancel()
    stage.finish()
  }
}
