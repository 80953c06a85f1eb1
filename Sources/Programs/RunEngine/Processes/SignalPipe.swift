import Glibc
import Synchronization

/// Signals as bytes in a pipe, for a loop that waits for other things too. One object at a time.
final class SignalPipe {
  let reader: Descriptor
  private let writer: Descriptor
  private var former: [(signal: Int32, action: sigaction)] = []

  /// Where the handlers write to.
  private static let target = Atomic<Int32>(-1)

  /// - Parameter signals: one that is ignored, as nohup does, stays ignored, but for SIGCHLD: without it no child's end
  ///   could be waited for.
  init(_ signals: [Int32]) throws {
    (reader, writer) = try Descriptor.pipe()
    reader.stopBlocking()
    writer.stopBlocking()
    Self.target.store(writer.number, ordering: .releasing)
    var mask = sigset_t()
    sigemptyset(&mask)
    for signal in signals {
      var action = sigaction()
      sigaction(signal, nil, &action)
      let ignores =
        unsafeBitCast(action.__sigaction_handler.sa_handler, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self)
      guard !ignores || signal == SIGCHLD else { continue }
      former.append((signal, action))
      Self.catch(signal)
      sigaddset(&mask, signal)
    }
    pthread_sigmask(SIG_UNBLOCK, &mask, nil)
  }

  deinit { restore() }

  private static func `catch`(_ signal: Int32) {
    var action = sigaction()
    action.sa_flags = SA_RESTART
    action.__sigaction_handler.sa_handler = { signal in
      let error = errno
      var byte = UInt8(signal)
      // A full pipe has enough for its reader to see.
      _ = write(SignalPipe.target.load(ordering: .acquiring), &byte, 1)
      errno = error
    }
    sigaction(signal, &action, nil)
  }

  /// What came since the last time.
  func take() -> [Int32] {
    var signals: [Int32] = []
    reader.take(65_536) { signals += $0.map(Int32.init) }
    return signals
  }

  /// Stops this process as a terminal's Ctrl-Z does, and returns when it goes on.
  func stopProcess() {
    signal(SIGTSTP, SIG_DFL)
    raise(SIGTSTP)
    Self.catch(SIGTSTP)
  }

  /// Signals do again what they did before.
  func restore() {
    for index in former.indices { sigaction(former[index].signal, &former[index].action, nil) }
    former = []
  }
}
