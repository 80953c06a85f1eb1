import Glibc
import Synchronization

/// What a program's threads and its device did when, in Chrome's trace format: ui.perfetto.dev and chrome://tracing show
/// it.
///
/// The file begins to exist under its name when the program has ended well.
public final class Trace: Sendable {
  /// That of this process; nil where none was asked for. Set before there are other threads, which read it.
  nonisolated(unsafe) public private(set) static var current: Trace?

  /// A line of the picture: a thread's, or a device's own.
  public enum Track: Hashable, Sendable {
    case thread(UInt)
    case device(String)
  }

  private struct State {
    var file: OutputFile
    var tracks: [Track: Int] = [:]
    var text: [UInt8] = Array("[".utf8)
    var hasEvents = false
    /// What threads add after the end, such as those that read ahead, is not wanted any more.
    var isOver = false
    /// The first one, which must not end the work that is being traced.
    var failure: (any Error)?

    mutating func write(_ event: String) {
      text += Array((hasEvents ? ",\n" : "\n").utf8) + Array(event.utf8)
      hasEvents = true
      if text.count >= 1 << 16 { flush() }
    }

    mutating func flush() {
      do { if failure == nil { try file.write(text) } } catch { failure = error }
      text.removeAll(keepingCapacity: true)
    }
  }

  private let state: Mutex<State>
  private let start: Double
  /// The thread that began it.
  private let first = UInt(pthread_self())

  /// - Throws: `Failure` where the file cannot be made.
  public static func begin(path: String) throws {
    current = Trace(try OutputFile(path: path))
  }

  private init(_ file: sending OutputFile) {
    state = Mutex(State(file: file))
    start = Self.now
  }

  /// Seconds of a clock that only goes on.
  public static var now: Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
  }

  /// Does the work and, where there is a trace, adds how long it took this thread.
  public static func span<Result>(_ name: String, _ work: () throws -> Result) rethrows -> Result {
    guard let current else { return try work() }
    let start = now
    defer { current.add(name, .thread(UInt(pthread_self())), from: start, to: now) }
    return try work()
  }

  /// - Parameters: times as `now` has them.
  public func add(_ name: String, _ track: Track, from begin: Double, to end: Double) {
    state.withLock { state in
      guard !state.isOver else { return }
      let number = number(of: track, in: &state)
      let (time, duration) = (Int((begin - start) * 1e6), Int((end - begin) * 1e6))
      state.write(
        "{\"ph\":\"X\",\"name\":\"\(name)\",\"pid\":1,\"tid\":\(number),\"ts\":\(time),\"dur\":\(duration)}")
    }
  }

  /// Ends the file and gives it its name.
  ///
  /// - Throws: `Failure` where something of it could not be written.
  public static func finish() throws {
    guard let current else { return }
    try current.state.withLock { state in
      guard !state.isOver else { return }
      state.isOver = true
      state.text += Array("\n]\n".utf8)
      state.flush()
      if let failure = state.failure { throw failure }
      try state.file.finish()
    }
  }

  private func number(of track: Track, in state: inout State) -> Int {
    if let known = state.tracks[track] { return known }
    let number = state.tracks.count + 1
    state.tracks[track] = number
    let name =
      switch track {
      case .thread(first): "first thread"
      case .thread: "thread \(number)"
      case .device(let name): name
      }
    state.write(
      "{\"ph\":\"M\",\"name\":\"thread_name\",\"pid\":1,\"tid\":\(number),\"args\":{\"name\":\"\(name)\"}}")
    return number
  }
}
