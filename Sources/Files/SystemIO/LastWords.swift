import Glibc
import Synchronization

// What ends a process where nothing can be thrown: memory that is not there, and a mapped file that lost its pages.
// The latter is a signal, whose handler may neither allocate nor lock: it finds all that it needs in the tables here.

/// What becomes of a failure in the middle of work that nothing can be thrown from, such as memory that is not there.
/// A library's user sees a trap, as where Swift's own containers get no memory; programs say it and exit.
nonisolated(unsafe) private var lastResort: @Sendable (Failure) -> Never = { fatalError($0.description) }

/// Is told of each file that has got its final name.
nonisolated(unsafe) private(set) var tellOfFinishedFile: @Sendable (_ path: String) -> Void = { _ in }

/// Ends the process where nothing can be thrown, in one line and, in a program, with the failure's exit code and without
/// unfinished files.
public func stop(_ failure: Failure) -> Never { lastResort(failure) }

extension Failure {
  /// Memory that was asked for is not there.
  ///
  /// - Parameter bytes: how much more was needed.
  public static func outOfMemory(_ bytes: Int) -> Failure { outOfMemory(bytes, nil) }

  /// - Parameter limit: what was in the way, where it is known.
  static func outOfMemory(_ bytes: Int, _ limit: MemoryLimit?) -> Failure {
    let limits = [("address space", RLIMIT_AS), ("data", RLIMIT_DATA)].compactMap { name, resource -> String? in
      var limit = rlimit()
      guard getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0, limit.rlim_cur < 1 << 62 else { return nil }
      return "the limit of \(name) is \(limit.rlim_cur)"
    }
    let reason =
      ([limit?.reason, addressSpaceInUse.map { "\($0) are in use" }].compactMap { $0 } + limits)
      .joined(separator: ", ")
    return Failure(
      .outOfMemory, "out of memory: \(bytes) bytes more were needed\(reason.isEmpty ? "" : ": \(reason)")")
  }
}

/// Bytes that this process has mapped.
private var addressSpaceInUse: Int? {
  guard let text = try? InputFile(path: "/proc/self/statm").readAll(limit: 4096) else { return nil }
  return String(decoding: text, as: UTF8.self).split(separator: " ").first.flatMap { Int($0) }
    .map { $0 * Int(sysconf(Int32(_SC_PAGESIZE))) }
}

/// Of a program: how it ends where nothing can be thrown, or where a signal tells it to. From now on
///
/// - `stop` says the failure and exits with its code;
/// - a mapped file that loses its pages ends the process with a message and exit code 74, memory that Swift does not get
///   with exit code 71, and nothing is finished after a mapped file was written to;
/// - signals that end the process from outside, such as SIGTERM, remove unfinished files first;
/// - a write beyond the limit of a file's size, or to a pipe that nobody reads any more, fails as others do.
///
/// - Parameters:
///   - say: says a failure where nothing can be thrown, on whatever thread.
///   - tellOfFile: is told the path of each file that is complete and has its name, on whatever thread.
public func takeChargeOfProcess(
  say: @escaping @Sendable (Failure) -> Void = { complain($0.description) },
  tellOfFile: @escaping @Sendable (_ path: String) -> Void = { _ in }
) {
  tellOfFinishedFile = tellOfFile
  lastResort = { failure in
    say(failure)
    UnfinishedFiles.removeAll()
    _exit(failure.kind.rawValue)
  }
  UnfinishedFiles.installHandlers()
  MappedFiles.installHandlers()
}

/// Removes the files that are not finished, for a process that ends by `exit`: whatever thread still holds one of them
/// will not come to it.
package func removeUnfinishedFiles() { UnfinishedFiles.removeAll() }

/// A C string that lives as long as the process, one for each text: a signal's handler may read it at any moment.
private func lastingText(_ text: String) -> UnsafeMutablePointer<CChar> {
  let address = lastingTexts.withLock { known in
    if let address = known[text] { return address }
    let address = UInt(bitPattern: strdup(text))
    known[text] = address
    return address
  }
  return UnsafeMutablePointer(bitPattern: address)!
}

/// Their addresses.
private let lastingTexts = Mutex<[String: UInt]>([:])

/// The files that this process is writing, so that its end can take them away.
enum UnfinishedFiles {
  /// Lives as long as the process, as a signal's handler may read it at any moment.
  private struct Entry {
    let path: UnsafeMutablePointer<CChar>
    /// Which file it is: that of another process may have taken the name.
    let device: dev_t
    let inode: ino_t
    /// The entry made before this one: nothing that is never freed gets lost.
    let earlier: UnsafeMutablePointer<Entry>?
  }

  /// Of whoever holds the lock.
  nonisolated(unsafe) private static var newest: UnsafeMutablePointer<Entry>?

  private static let capacity = 4096
  private static let lock = Mutex(())
  nonisolated(unsafe) private static let entries: UnsafeMutablePointer<Atomic<UnsafeMutablePointer<Entry>?>> = {
    let entries = UnsafeMutablePointer<Atomic<UnsafeMutablePointer<Entry>?>>.allocate(capacity: capacity)
    for slot in 0..<capacity { (entries + slot).initialize(to: Atomic(nil)) }
    return entries
  }()

  /// - Parameter descriptor: what the file is open on.
  static func add(_ path: String, _ descriptor: Int32) {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { return }
    let text = lastingText(path)
    lock.withLock { _ in
      let entry = UnsafeMutablePointer<Entry>.allocate(capacity: 1)
      entry.initialize(to: Entry(path: text, device: status.st_dev, inode: status.st_ino, earlier: newest))
      newest = entry
      // Where there are more, a process that dies leaves them behind.
      guard let slot = (0..<capacity).first(where: { entries[$0].load(ordering: .relaxed) == nil }) else { return }
      entries[slot].store(entry, ordering: .releasing)
    }
  }

  static func remove(_ path: String) {
    let path = lastingText(path)
    lock.withLock { _ in
      let slot = (0..<capacity).first { entries[$0].load(ordering: .relaxed)?.pointee.path == path }
      if let slot { entries[slot].store(nil, ordering: .releasing) }
    }
  }

  /// Calls what a signal's handler may call and nothing else.
  static func removeAll() {
    for slot in 0..<capacity {
      guard let entry = entries[slot].load(ordering: .acquiring)?.pointee else { continue }
      var status = stat()
      guard lstat(entry.path, &status) == 0, status.st_dev == entry.device, status.st_ino == entry.inode else {
        continue
      }
      unlink(entry.path)
    }
  }

  /// Those that end a process from outside: of a terminal, of a scheduler whose time is up, of a limit.
  private static let signals = [
    SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGXCPU, SIGALRM, SIGVTALRM, SIGUSR1, SIGUSR2,
  ]

  static func installHandlers() {
    // All that a handler reads is made before.
    _ = entries
    TerminalLine.leave()
    // A file that grows beyond its limit is then a failed write, which has a message.
    signal(SIGXFSZ, SIG_IGN)
    // Of standard error that means nothing; of the data it is for the program to end as the signal would have it.
    signal(SIGPIPE, SIG_IGN)
    for number in signals {
      var former = sigaction()
      guard sigaction(number, nil, &former) == 0 else { continue }
      let handler = former.__sigaction_handler.sa_handler
      // What a parent had ignored, as nohup does, stays ignored. Swift's own handler of SIGQUIT prints a backtrace.
      guard handler == nil || number == SIGQUIT && unsafeBitCast(handler, to: Int.self) != ignored else { continue }
      signal(number) { number in
        TerminalLine.leave()
        UnfinishedFiles.removeAll()
        signal(number, SIG_DFL)
        raise(number)
      }
    }
  }

  private static let ignored = unsafeBitCast(SIG_IGN, to: Int.self)
}

/// The files that are mapped.
enum MappedFiles {
  private static let capacity = 4096
  private static let lock = Mutex(())

  private struct Entry: ~Copyable {
    /// Set last and taken away first, so that whoever sees it sees the rest.
    let path = Atomic<UnsafeMutablePointer<CChar>?>(nil)
    var start: UInt = 0
    var end: UInt = 0
    var descriptor: Int32 = -1
    var size = 0
    var modified = timespec()
  }

  nonisolated(unsafe) private static let entries: UnsafeMutablePointer<Entry> = {
    let entries = UnsafeMutablePointer<Entry>.allocate(capacity: capacity)
    for slot in 0..<capacity { (entries + slot).initialize(to: Entry()) }
    return entries
  }()

  /// The message's end, made before it is needed.
  nonisolated(unsafe) private static let name = strdup("\(programName): ")!

  /// - Parameter descriptor: stays open as long as the file is mapped.
  static func add(_ bytes: UnsafeRawBufferPointer, _ path: String, _ descriptor: Int32, _ status: stat) {
    lock.withLock { _ in
      guard let slot = (0..<capacity).first(where: { !isInUse($0) }) else { return }
      let start = UInt(bitPattern: bytes.baseAddress)
      (entries[slot].start, entries[slot].end) = (start, start + UInt(bytes.count))
      (entries[slot].descriptor, entries[slot].size) = (descriptor, Int(status.st_size))
      entries[slot].modified = status.st_mtim
      entries[slot].path.store(lastingText(path), ordering: .releasing)
    }
  }

  static func remove(_ bytes: UnsafeRawBufferPointer) {
    lock.withLock { _ in
      let start = UInt(bitPattern: bytes.baseAddress)
      guard let slot = (0..<capacity).first(where: { entries[$0].start == start && isInUse($0) }) else { return }
      entries[slot].path.store(nil, ordering: .releasing)
    }
  }

  private static func isInUse(_ slot: Int) -> Bool { entries[slot].path.load(ordering: .acquiring) != nil }

  /// Whether all of `bytes` belong to one of them.
  static func contain(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let start = UInt(bitPattern: bytes.baseAddress)
    return lock.withLock { _ in
      (0..<capacity).contains {
        isInUse($0) && entries[$0].start <= start && start + UInt(bytes.count) <= entries[$0].end
      }
    }
  }

  /// Nothing is checked before `installHandlers`: a library does not answer for the files of the rest of its process.
  static func checkUnchanged() throws {
    guard isWatching else { return }
    let changed: String? = lock.withLock { _ in
      for slot in 0..<capacity {
        guard let path = entries[slot].path.load(ordering: .acquiring) else { continue }
        var status = stat()
        let modified = entries[slot].modified
        guard fstat(entries[slot].descriptor, &status) == 0, Int(status.st_size) == entries[slot].size,
          status.st_mtim.tv_sec == modified.tv_sec, status.st_mtim.tv_nsec == modified.tv_nsec
        else { return String(cString: path) }
      }
      return nil
    }
    if let changed {
      throw Failure(
        .inputOutput, "\(changed): changed while it was in use: results that were computed from it cannot be trusted")
    }
  }

  nonisolated(unsafe) private static var isWatching = false

  static func installHandlers() {
    isWatching = true
    _ = (entries, name)
    var action = sigaction()
    action.__sigaction_handler.sa_sigaction = { _, information, _ in
      MappedFiles.stop(UInt(bitPattern: information!.pointee._sifields._sigfault.si_addr))
    }
    action.sa_flags = SA_SIGINFO
    sigaction(SIGBUS, &action, nil)
    // Swift's own containers abort where they get no memory, after a line that says how much was asked for.
    signal(SIGABRT) { _ in
      if errno == ENOMEM {
        UnfinishedFiles.removeAll()
        _exit(Failure.Kind.outOfMemory.rawValue)
      }
      signal(SIGABRT, SIG_DFL)
    }
  }

  private static func stop(_ address: UInt) {
    for slot in 0..<capacity {
      guard let path = entries[slot].path.load(ordering: .acquiring), entries[slot].start <= address,
        address < entries[slot].end
      else { continue }
      withUnsafeTemporaryAllocation(byteCount: 8192, alignment: 1) { line in
        var length = 0
        func add(_ text: UnsafePointer<CChar>) {
          let count = min(strlen(text), line.count - length)
          memcpy(line.baseAddress! + length, text, count)
          length += count
        }
        TerminalLine.leave()
        add(name)
        add(path)
        add(": read failed: the file has become shorter while it was in use, or its disk has failed\n")
        _ = write(STDERR_FILENO, line.baseAddress, length)
      }
      UnfinishedFiles.removeAll()
      _exit(Failure.Kind.inputOutput.rawValue)
    }
    // Not a file: a bug, which dies as it would have.
    signal(SIGBUS, SIG_DFL)
  }
}
