import SystemIO

/// Memory for the contents of frames: of the one that is in use as much as it takes, and of those that follow it
/// `limit` bytes together.
///
/// A frame that is larger than that begins in a small buffer. It goes on when it is wanted, in the large buffer of the
/// frame before it where there was one: so there is never a second large one.
final class FrameMemory: @unchecked Sendable {
  private let limit: Int
  private let monitor = Monitor()
  private var spare: [AlignedBuffer] = []
  private var ahead = 0
  /// The numbers of the frame that is waited for, and of the one that will be delivered next.
  private var wanted = -1
  private var next = 0
  private var isCancelled = false

  init(limit: Int) { self.limit = limit }

  // MARK: - On the thread that reads

  /// A buffer to begin with.
  func spareBuffer(for declared: Int) -> AlignedBuffer {
    monitor.locked { spareIndex(for: declared).map { spare.remove(at: $0) } } ?? AlignedBuffer(capacity: 0)
  }

  /// Has the frame's buffer hold `bytes`, once there is room for them.
  ///
  /// - Throws: `Failure` where nothing is wanted any more, which nobody gets to see.
  func claim(_ bytes: Int, for frame: Frame) throws {
    let larger: AlignedBuffer? = try monitor.locked {
      let more = bytes - frame.claimed
      monitor.wait { wanted == frame.number || ahead + more <= limit || isCancelled }
      if isCancelled { throw Failure(.bug, "read after its end") }
      ahead += more
      frame.claimed = bytes
      guard frame.contents.capacity < bytes, let index = spareIndex(for: frame.declared) else { return nil }
      return spare[index].capacity > frame.contents.capacity ? spare.remove(at: index) : nil
    }
    if let larger {
      larger.reserve(bytes)
      larger.address.copyMemory(from: frame.contents.address, byteCount: frame.produced)
      release(frame.contents)
      frame.contents = larger
    }
    frame.contents.reserve(bytes, preserving: frame.produced)
  }

  /// The smallest that is large enough, else the largest.
  private func spareIndex(for bytes: Int) -> Int? {
    let fitting = spare.indices.filter { spare[$0].capacity >= bytes }
    return fitting.min { spare[$0].capacity < spare[$1].capacity }
      ?? spare.indices.max { spare[$0].capacity < spare[$1].capacity }
  }

  // MARK: - On the thread that uses the frames

  /// The frame that comes next is waited for: it may take what it needs.
  func wantNext() { monitor.changing { wanted = next } }

  /// This frame is in use now.
  func deliver(_ frame: Frame) {
    monitor.changing {
      next += 1
      ahead -= frame.claimed
    }
  }

  /// Keeps the buffer for later, and of all that are kept one, or more within the limit.
  func release(_ buffer: AlignedBuffer) {
    monitor.changing {
      spare.append(buffer)
      spare.sort { $0.capacity > $1.capacity }
      while spare.count > 1, spare.reduce(0, { $0 + $1.capacity }) > limit { spare.removeLast() }
    }
  }

  func cancel() { monitor.changing { isCancelled = true } }
}
