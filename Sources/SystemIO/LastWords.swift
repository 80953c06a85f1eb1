import Glibc
import Synchronization

// What ends a process where nothing can be thrown: memory that is not there, and a mapped file that lost its pages.
// The latter is a signal, whose handler may neither allocate nor lock: it finds all that it needs in the tables here.

/// Ends the process where memory that was asked for is not there, in one line that says how much, with exit code 71.
///
/// Memory is asked for in the middle of everything, and nothing goes on without it.
///
/// - Parameter bytes: how much more was needed.
public func stopForWantOfMemory(_ bytes: Int) -> Never { stopForWantOfMemory(bytes, nil) }

/// - Parameter limit: what was in the way, where it is known.
func stopForWantOfMemory(_ bytes: Int, _ limit: MemoryLimit?) -> Never {
  let limits = [("address space", RLIMIT_AS), ("data", RLIMIT_DATA)].compactMap { name, resource -> String? in
    var limit = rlimit()
    guard getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0, limit.rlim_cur < 1 << 62 else { return nil }
    return "the limit of \(name) is \(limit.rlim_cur)"
  }
  let reason =
    ([limit?.reason, addressSpaceInUse.map { "\($0) are in use" }].compactMap { $0 } + limits).joined(separator: ", ")
  stopForWantOfMemory("out of memory: \(bytes) bytes more were needed\(reason.isEmpty ? "" : ": \(reason)")")
}

/// Ends the process where nothing can be thrown, in one line and without unfinished files.
public func stop(_ message: String, _ kind: Failure.Kind) -> Never { stop(message, code: kind.rawValue) }

/// The same where memory is wanting, exit code 71.
public func stopForWantOfMemory(_ message: String) -> Never { stop(message, code: outOfMemory) }

private func stop(_ message: String, code: Int32) -> Never {
  complain(message)
  UnfinishedFiles.removeAll()
  _exit(code)
}

/// EX_OSERR of sysexits.h.
private let outOfMemory: Int32 = 71

/// Bytes that this process has mapped.
private var addressSpaceInUse: Int? {
  guard let text = try? InputFile(path: "/proc/self/statm").readAll(limit: 4096) else { return nil }
  return String(decoding: text, as: UTF8.self).split(separator: " ").first.flatMap { Int($0) }
    .map { $0 * Int(sysconf(Int32(_SC_PAGESIZE))) }
}

/// The files that this process is writing, so that its end can take them away.
enum UnfinishedFiles {
  private static let capacity = 4096
  private static let lock = Mutex(())
  nonisolated(unsafe) private static let paths: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?> = {
    let paths = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: capacity)
    paths.initialize(repeating: nil, count: capacity)
    return paths
  }()

  static func add(_ path: String) {
    lock.withLock { _ in
      // Where there are more, a process that dies leaves them behind.
      guard let slot = (0..<capacity).first(where: { paths[$0] == nil }) else { return }
      paths[slot] = strdup(path)
    }
  }

  static func remove(_ path: String) {
    lock.withLock { _ in
      guard let slot = (0..<capacity).first(where: { paths[$0].map { strcmp($0, path) == 0 } ?? false }) else { return }
      let name = paths[slot]
      paths[slot] = nil
      free(name)
    }
  }

  /// Makes the table, which a signal's handler could not.
  static func prepare() { _ = paths }

  static func removeAll() {
    for slot in 0..<capacity { if let path = paths[slot] { unlink(path) } }
  }
}

/// The files that are mapped.
enum MappedFiles {
  private static let capacity = 4096
  private static let lock = Mutex(())

  private struct Entry {
    var start: UInt = 0
    var end: UInt = 0
    var path: UnsafeMutablePointer<CChar>?
    var descriptor: Int32 = -1
    var size = 0
    var modified = timespec()
  }

  nonisolated(unsafe) private static let entries: UnsafeMutablePointer<Entry> = {
    let entries = UnsafeMutablePointer<Entry>.allocate(capacity: capacity)
    entries.initialize(repeating: Entry(), count: capacity)
    return entries
  }()

  /// The message's end, made before it is needed.
  nonisolated(unsafe) private static let name = strdup("\(programName): ")!

  /// - Parameter descriptor: stays open as long as the file is mapped.
  static func add(_ bytes: UnsafeRawBufferPointer, _ path: String, _ descriptor: Int32, _ status: stat) {
    lock.withLock { _ in
      guard let slot = (0..<capacity).first(where: { entries[$0].path == nil }) else { return }
      let start = UInt(bitPattern: bytes.baseAddress)
      entries[slot] = Entry(
        start: start, end: start + UInt(bytes.count), path: strdup(path), descriptor: descriptor,
        size: Int(status.st_size), modified: status.st_mtim)
    }
  }

  static func remove(_ bytes: UnsafeRawBufferPointer) {
    lock.withLock { _ in
      let start = UInt(bitPattern: bytes.baseAddress)
      guard let slot = (0..<capacity).first(where: { entries[$0].start == start && entries[$0].path != nil }) else {
        return
      }
      let path = entries[slot].path
      entries[slot] = Entry()
      free(path)
    }
  }

  /// Whether all of `bytes` belong to one of them.
  static func contain(_ bytes: UnsafeRawBufferPointer) -> Bool {
    let start = UInt(bitPattern: bytes.baseAddress)
    return lock.withLock { _ in
      (0..<capacity).contains {
        entries[$0].path != nil && entries[$0].start <= start && start + UInt(bytes.count) <= entries[$0].end
      }
    }
  }

  /// Nothing is checked before `installHandler`: a library does not answer for the files of the rest of its process.
  static func checkUnchanged() throws {
    guard isWatching else { return }
    let changed: String? = lock.withLock { _ in
      for slot in 0..<capacity where entries[slot].path != nil {
        let entry = entries[slot]
        var status = stat()
        guard fstat(entry.descriptor, &status) == 0, Int(status.st_size) == entry.size,
          status.st_mtim.tv_sec == entry.modified.tv_sec, status.st_mtim.tv_nsec == entry.modified.tv_nsec
        else { return String(cString: entry.path!) }
      }
      return nil
    }
    if let changed {
      throw Failure(
        .inputOutput, "\(changed): changed while it was in use: what was computed of it is not to be trusted")
    }
  }

  nonisolated(unsafe) private static var isWatching = false

  static func installHandler() {
    isWatching = true
    _ = (entries, name)
    UnfinishedFiles.prepare()
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
        _exit(outOfMemory)
      }
      signal(SIGABRT, SIG_DFL)
    }
  }

  private static func stop(_ address: UInt) {
    for slot in 0..<capacity where entries[slot].start <= address && address < entries[slot].end {
      guard let path = entries[slot].path else { continue }
      withUnsafeTemporaryAllocation(byteCount: 8192, alignment: 1) { line in
        var length = 0
        func add(_ text: UnsafePointer<CChar>) {
          let count = min(strlen(text), line.count - length)
          memcpy(line.baseAddress! + length, text, count)
          length += count
        }
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

/// From now on a mapped file that loses its pages ends the process with a message and exit code 74, memory that Swift
/// does not get with exit code 71, and nothing is finished after a mapped file was written to.
public func watchResources() { MappedFiles.installHandler() }
