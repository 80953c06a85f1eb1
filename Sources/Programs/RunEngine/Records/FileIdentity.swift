import Glibc
import SystemIO

/// What tells a file, as it is at one moment, from every other: where it lies on which device, its size, and when it and
/// its entry were last changed, to the nanosecond.
struct FileIdentity: Equatable {
  let text: String
  let bytes: Int
  private let newest: Double

  init(_ status: stat) {
    let (modified, changed) = (status.st_mtim, status.st_ctim)
    bytes = Int(status.st_size)
    text =
      "\(status.st_dev):\(status.st_ino):\(bytes):\(modified.tv_sec).\(modified.tv_nsec):\(changed.tv_sec).\(changed.tv_nsec)"
    newest = Double(max(modified.tv_sec, changed.tv_sec))
  }

  /// Of the regular file at `path`, links followed; nil where there is none.
  init?(path: String) {
    var status = stat()
    guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
    self.init(status)
  }

  /// Whether a change from now on changes its times: the clock of a file system may have a grain of two seconds, within
  /// which a file can change without a trace.
  var isSettled: Bool {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return newest + 2 < Double(now.tv_sec)
  }
}

/// The two hashes of files: one that resists an adversary, for what a person hands over, and a fast one that notices
/// damage, for what this package's programs have written.
enum FileHash {
  /// - Throws: `Failure` of kind cannotOpen or inputOutput; also where the file changes meanwhile.
  static func sha256(_ path: String) throws -> (hash: String, identity: FileIdentity) {
    var hash = SHA256()
    let identity = try read(path) { hash.update($0) }
    return (hash.hexadecimal, identity)
  }

  static func xxh64(_ path: String) throws -> (hash: String, identity: FileIdentity) {
    var hash = ContentHash()
    let identity = try read(path) { hash.update($0) }
    return (hash.hexadecimal, identity)
  }

  private static func read(_ path: String, _ body: (UnsafeRawBufferPointer) -> Void) throws -> FileIdentity {
    let before = FileIdentity(path: path)
    guard try readRegularFile(path, body), let before else {
      throw Failure(.cannotOpen, "\(path): cannot open: expected a file, found \(kindOfFile(at: path))")
    }
    guard FileIdentity(path: path) == before else {
      throw Failure(.inputOutput, "\(path): changed while it was read")
    }
    return before
  }
}
