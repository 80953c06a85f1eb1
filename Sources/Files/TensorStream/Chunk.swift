import SystemIO

/// A piece of a stream on its way from thread to thread.
final class Chunk {
  /// Two blocks of a frame, and what a pipe holds: small enough to stay in a core's cache from one step to the next.
  static let size = 2 * StoredFrame.blockSize
  /// Before the bytes, for the end of the chunk before or for the headers of a frame and its blocks.
  static let margin = 64

  private let buffer = AlignedBuffer(capacity: margin + size)
  /// Of the bytes.
  var address: UnsafeMutableRawPointer { buffer.address + Self.margin }
  var count = 0
  /// How many still need it. Belongs to the pool.
  fileprivate var users = 0

  func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(start: address + range.lowerBound, count: range.count)
  }
}

/// Chunks that are used again and again. How many there are follows from how many may wait between threads.
final class ChunkPool: @unchecked Sendable {
  private let monitor = Monitor()
  private var free: [Chunk] = []

  func take() -> Chunk {
    let chunk = monitor.locked { free.popLast() } ?? Chunk()
    (chunk.users, chunk.count) = (1, 0)
    return chunk
  }

  func retain(_ chunk: Chunk) { monitor.locked { chunk.users += 1 } }

  func release(_ chunk: Chunk) {
    monitor.locked {
      chunk.users -= 1
      if chunk.users == 0 { free.append(chunk) }
    }
  }
}
