import Glibc

/// A mutex, and the news that what it guards has changed.
package final class Monitor: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let changes = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)

  package init() {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(changes, nil)
  }

  deinit {
    pthread_cond_destroy(changes)
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
    changes.deallocate()
  }

  /// Runs `body` while no other thread is in one.
  package func locked<T>(_ body: () throws -> T) rethrows -> T {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    return try body()
  }

  /// As `locked`, and wakes those who wait.
  package func changing<T>(_ body: () throws -> T) rethrows -> T {
    try locked {
      defer { pthread_cond_broadcast(changes) }
      return try body()
    }
  }

  /// To be called inside `locked`: returns once `isSo`, which is looked at after each change.
  package func wait(until isSo: () -> Bool) {
    while !isSo() { pthread_cond_wait(changes, mutex) }
  }
}
