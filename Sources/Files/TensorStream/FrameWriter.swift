import SystemIO

/// Writes each record as one zstd frame, with its content size in the header and a checksum behind it. Packing, hashing
/// and writing each have a thread where the system grants one; what goes wrong there comes up at a later call.
///
/// Contents that hardly compress are stored as they are: nothing is won by more, and a pipe would be ten times slower.
final class FrameWriter {
  private let file: OutputFile
  private let pool = ChunkPool()
  private let outcome = Outcome()
  private let packer: FramePacker
  private let packers: Int
  private var isStarted = false
  private let packing: Stage<FramePacker.Item>
  private let writing: Stage<WriteItem>
  private let hashing: Stage<HashItem>
  private let sample: CompressionSample

  private enum WriteItem {
    case piece(WirePiece)
    case answer(Handover<Void>)
  }

  private enum HashItem {
    case piece(WirePiece)
    case restart
    case digest(Handover<String>)
  }

  /// - Parameter memory: bytes of records that may wait to be written.
  init(_ file: OutputFile, compressionLevel: Int32, memory: Int, packers: Int) {
    self.file = file
    file.widenPipe()
    sample = CompressionSample(compressionLevel: compressionLevel)
    let (pool, outcome) = (pool, outcome)
    writing = Stage(capacity: 8) { item in
      switch item {
      case .piece(let piece):
        outcome.doUnlessFailed { try Trace.span("write bytes") { try file.write(gathering: piece.parts) } }
        pool.release(piece.chunk)
      case .answer(let answer): answer.put(())
      }
    }
    let hash = HashState()
    hashing = Stage(capacity: 8) { item in
      switch item {
      case .piece(let piece):
        for part in piece.parts { hash.value.update(part) }
        pool.release(piece.chunk)
      case .restart: hash.value = ContentHash()
      case .digest(let answer): answer.put(hash.value.hexadecimal)
      }
    }
    let (writing, hashing) = (writing, hashing)
    let packer = FramePacker(pool, compressionLevel: compressionLevel) { piece in
      pool.retain(piece.chunk)
      hashing.put(.piece(piece))
      writing.put(.piece(piece))
    }
    self.packer = packer
    packing = Stage(capacity: max(memory / Chunk.size, 2)) { item in
      if case .meanwhile(let body) = item { return body() }
      outcome.doUnlessFailed { try Trace.span("pack") { try packer.add(item) } }
      if case .contents(let chunk, _) = item { pool.release(chunk) }
    }
    self.packers = packers
  }

  deinit { finishStages() }

  private func finishStages() {
    packing.finish()
    hashing.finish()
    writing.finish()
  }

  private func start() {
    guard !isStarted else { return }
    isStarted = true
    hashing.start()
    writing.start()
    packer.workers = packing.start() ? packers : 0
  }

  func startHashing() {
    start()
    let hashing = hashing
    packing.put(.meanwhile { hashing.put(.restart) })
  }

  /// Of the compressed bytes of all frames since `startHashing()`.
  func hash() throws -> String {
    let answer = Handover<String>(capacity: 1)
    let hashing = hashing
    packing.put(.meanwhile { hashing.put(.digest(answer)) })
    let digest = answer.take()!
    try outcome.check()
    return digest
  }

  /// Waits until all is written that was given so far.
  func flush() throws {
    let answer = Handover<Void>(capacity: 1)
    let writing = writing
    packing.put(.meanwhile { writing.put(.answer(answer)) })
    answer.take()
    try outcome.check()
  }

  /// One frame of all `pieces`, end to end, of which none is needed any more when this returns.
  ///
  /// - Parameter stored: keeps the contents as they are. Some bits of a compressed block have no meaning, and a flip
  ///   of one goes unnoticed; of a stored block every bit counts.
  func write(_ pieces: [UnsafeRawBufferPointer], stored: Bool = false) throws {
    try outcome.check()
    let total = pieces.reduce(0) { $0 + $1.count }
    packing.put(.frame(size: total, isStored: try stored || !sample.compresses(pieces)))
    var chunk = pool.take()
    var left = total
    for piece in pieces {
      var rest = piece[...]
      while !rest.isEmpty {
        let count = min(rest.count, Chunk.size - chunk.count)
        (chunk.address + chunk.count).copyMemory(
          from: UnsafeRawBufferPointer(rebasing: rest).baseAddress!, byteCount: count)
        rest = rest.dropFirst(count)
        chunk.count += count
        left -= count
        guard chunk.count == Chunk.size, left > 0 else { continue }
        packing.put(.contents(chunk, isLast: false))
        try outcome.check()
        chunk = pool.take()
      }
    }
    packing.put(.contents(chunk, isLast: true))
  }

  func finish() throws {
    finishStages()
    try outcome.check()
    try file.finish()
  }
}

private final class HashState: @unchecked Sendable {
  var value = ContentHash()
}

/// The first failure of what threads do.
private final class Outcome: @unchecked Sendable {
  private let monitor = Monitor()
  private var failure: (any Error)?

  func check() throws { if let failure = monitor.locked({ failure }) { throw failure } }

  /// After a failure nothing more is done.
  func doUnlessFailed(_ body: () throws -> Void) {
    guard monitor.locked({ failure }) == nil else { return }
    do { try body() } catch { monitor.locked { failure = failure ?? error } }
  }
}
