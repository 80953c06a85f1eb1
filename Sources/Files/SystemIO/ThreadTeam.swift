import Glibc

/// Threads that wait for the next work.
///
/// Not Dispatch's: on Linux its workers run at normal priority whatever the process was started with, and a job under
/// `nice` must not take the machine from those who share it.
public final class ThreadTeam: @unchecked Sendable {
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let started = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private let finished = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var threads: [pthread_t] = []

  // All of these belong to whoever holds the mutex.
  private var body: ((Int) -> Void)?
  private var parts = 0
  private var next = 0
  private var unfinished = 0
  private var isOver = false

  /// - Parameter size: threads that work at the same time, the caller's included. Where the system grants fewer, the
  ///   work is done by those.
  public init(size: Int) {
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(started, nil)
    pthread_cond_init(finished, nil)
    for _ in 1..<max(size, 1) {
      var thread = pthread_t()
      let team = Unmanaged.passUnretained(self).toOpaque()
      let failed = pthread_create(
        &thread, nil,
        { team in
          Unmanaged<ThreadTeam>.fromOpaque(team!).takeUnretainedValue().serve()
          return nil
        }, team)
      if failed != 0 { break }
      threads.append(thread)
    }
  }

  deinit {
    pthread_mutex_lock(mutex)
    isOver = true
    pthread_cond_broadcast(started)
    pthread_mutex_unlock(mutex)
    for thread in threads { pthread_join(thread, nil) }
    pthread_cond_destroy(started)
    pthread_cond_destroy(finished)
    pthread_mutex_destroy(mutex)
    mutex.deallocate()
    started.deallocate()
    finished.deallocate()
  }

  /// Runs `body` for every part of 0..<count, the caller's thread working along, and returns when all are done.
  public func run(_ count: Int, _ body: (Int) -> Void) {
    if count <= 1 || threads.isEmpty {
      for part in 0..<count { body(part) }
      return
    }
    withoutActuallyEscaping(body) { body in
      pthread_mutex_lock(mutex)
      self.body = body
      (parts, next, unfinished) = (count, 0, count)
      pthread_cond_broadcast(started)
      takeParts()
      while unfinished > 0 { pthread_cond_wait(finished, mutex) }
      self.body = nil
      pthread_mutex_unlock(mutex)
    }
  }

  /// Runs `body` for every part of 0..<count that has so many numbers, or for the last what is left.
  public func run(_ count: Int, by size: Int, _ body: (Range<Int>) -> Void) {
    run((count + size - 1) / size) { body($0 * size..<min(($0 + 1) * size, count)) }
  }

  /// What `body` makes of each of the values, in their order; the first of its failures where there are any.
  public func map<Value, Result>(_ values: [Value], _ body: (Value) throws -> Result) throws -> [Result] {
    let results = UnsafeMutableBufferPointer<Swift.Result<Result, any Error>?>.allocate(capacity: values.count)
    results.initialize(repeating: nil)
    defer {
      results.deinitialize()
      results.deallocate()
    }
    run(values.count) { index in results[index] = Swift.Result { try body(values[index]) } }
    return try results.map { try $0!.get() }
  }

  private func serve() {
    pthread_mutex_lock(mutex)
    while !isOver {
      if next < parts { takeParts() } else { pthread_cond_wait(started, mutex) }
    }
    pthread_mutex_unlock(mutex)
  }

  /// A call of its own, so that no reference to `body` outlives it: the caller's closure ends with `run`.
  @inline(never)
  private func perform(_ part: Int) { body!(part) }

  /// Works as long as parts are left. Called and returns with the mutex held.
  private func takeParts() {
    while next < parts {
      let part = next
      next += 1
      pthread_mutex_unlock(mutex)
      perform(part)
      pthread_mutex_lock(mutex)
      unfinished -= 1
      if unfinished == 0 { pthread_cond_signal(finished) }
    }
  }
}
