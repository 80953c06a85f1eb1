import Glibc
import Synchronization

/// Work on a thread of its own.
final class Background<Value: Sendable>: Sendable {
  private let result = Mutex<Result<Value, any Error>?>(nil)

  /// What came out; nil as long as it is at work.
  func value() throws -> Value? { try result.withLock { $0 }?.get() }

  static func start(_ body: @escaping @Sendable () throws -> Value) -> Background {
    let work = Background()
    let task = ThreadBody {
      let outcome = Result { try body() }
      work.result.withLock { $0 = outcome }
    }
    let own = Unmanaged.passRetained(task).toOpaque()
    var thread = pthread_t()
    guard pthread_create(&thread, nil, runBody, own) == 0 else {
      // Without a thread it is done now.
      _ = runBody(own)
      return work
    }
    pthread_detach(thread)
    return work
  }
}

private final class ThreadBody {
  let run: () -> Void
  init(_ run: @escaping () -> Void) { self.run = run }
}

private func runBody(_ own: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
  Unmanaged<ThreadBody>.fromOpaque(own!).takeRetainedValue().run()
  return nil
}
