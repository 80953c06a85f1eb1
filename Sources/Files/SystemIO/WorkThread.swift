import Glibc

/// What runs on a thread of its own.
package final class WorkThread: @unchecked Sendable {
  private let monitor = Monitor()
  private var body: (() -> Void)?
  private var isOver = false

  private init(_ body: @escaping () -> Void) { self.body = body }

  /// Enough for what handles bytes, and less than a thread gets by default: a limit on memory counts all of it.
  package static let smallStack = 512 << 10

  /// Nil where the system grants no thread.
  ///
  /// - Parameter stackSize: bytes; as threads have it by default where it is nil.
  package static func start(stackSize: Int? = nil, _ body: @escaping () -> Void) -> WorkThread? {
    let work = WorkThread(body)
    var attributes = pthread_attr_t()
    pthread_attr_init(&attributes)
    defer { pthread_attr_destroy(&attributes) }
    if let stackSize { pthread_attr_setstacksize(&attributes, stackSize) }
    pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
    let own = Unmanaged.passRetained(work)
    var thread = pthread_t()
    let failed = pthread_create(
      &thread, &attributes,
      { own in
        let work = Unmanaged<WorkThread>.fromOpaque(own!).takeRetainedValue()
        work.run()
        work.monitor.changing { work.isOver = true }
        return nil
      }, own.toOpaque())
    guard failed == 0 else {
      own.release()
      return nil
    }
    return work
  }

  /// What the body holds is let go of with it: whoever has waited may rely on that, as for a file that must not stay.
  private func run() {
    body?()
    body = nil
  }

  package func wait() { monitor.locked { monitor.wait { isOver } } }
}

/// One step of work on items that come one after another: on a thread of its own, or on the caller's where the system
/// grants no thread.
package final class Stage<Item> {
  private let items: Handover<Item>
  private let body: (Item) -> Void
  private let wantsThread: Bool
  private var thread: WorkThread?

  /// - Parameters:
  ///   - capacity: items that may wait.
  ///   - isThreaded: false works on the caller's thread in any case.
  package init(capacity: Int, isThreaded: Bool = true, _ body: @escaping (Item) -> Void) {
    items = Handover(capacity: capacity)
    (self.body, wantsThread) = (body, isThreaded)
  }

  /// To be called before the first item. Not done by `init`: a thread takes address space, and may not be needed yet.
  ///
  /// - Returns: whether there is a thread.
  @discardableResult
  package func start() -> Bool {
    guard wantsThread, thread == nil else { return thread != nil }
    thread = WorkThread.start(stackSize: WorkThread.smallStack) { [items, body] in
      while let item = items.take() { body(item) }
    }
    return thread != nil
  }

  package func put(_ item: Item) {
    if thread == nil { body(item) } else { items.put(item) }
  }

  /// Returns when all is done.
  package func finish() {
    items.close()
    thread?.wait()
  }

  /// Forgets what waits.
  package func cancel() { items.cancel() }
}

/// One step of work that is a thread's own while the caller makes the next item: at most one is at work.
package final class WorkBehind<Item> {
  private let stage: Stage<Item>
  private let done = Handover<Result<Void, any Error>>(capacity: 1)
  private let hasThread: Bool
  private var isAtWork = false

  /// - Parameter isThreaded: false works on the caller's thread.
  package init(isThreaded: Bool, _ body: @escaping (Item) throws -> Void) {
    let done = done
    stage = Stage(capacity: 1, isThreaded: isThreaded) { item in done.put(Result { try body(item) }) }
    hasThread = stage.start()
  }

  deinit { stage.finish() }

  /// Returns once nothing but this item is at work.
  ///
  /// - Throws: what the work on an item before threw, or on this one where there is no thread.
  package func put(_ item: Item) throws {
    try finish()
    isAtWork = true
    stage.put(item)
    if !hasThread { try finish() }
  }

  /// Waits for the item at work, if there is one.
  ///
  /// - Throws: what the work on it threw.
  package func finish() throws {
    guard isAtWork else { return }
    isAtWork = false
    try done.take()!.get()
  }
}
