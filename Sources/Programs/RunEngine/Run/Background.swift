import Synchronization
import SystemIO

/// Work on a thread of its own.
final class Background<Value: Sendable>: Sendable {
  private let result = Mutex<Result<Value, any Error>?>(nil)

  /// What came out; nil as long as it is at work.
  func value() throws -> Value? { try result.withLock { $0 }?.get() }

  static func start(_ body: @escaping @Sendable () throws -> Value) -> Background {
    let work = Background()
    let perform = {
      let outcome = Result { try body() }
      work.result.withLock { $0 = outcome }
    }
    // Without a thread it is done now.
    if WorkThread.start(perform) == nil { perform() }
    return work
  }
}
