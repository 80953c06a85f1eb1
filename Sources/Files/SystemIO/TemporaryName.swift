import Glibc

/// The name under which a file lies while it is written: `FINAL.PID.partial`, or `FINAL.PID.N.partial` where somebody
/// has that already.
struct TemporaryName {
  private let path: String

  /// Creates a file that did not exist, beside `path`.
  ///
  /// - Parameter name: what a failure is said of.
  static func create(beside path: String, as name: String) throws(Failure) -> (descriptor: Int32, name: TemporaryName) {
    var number = 0
    while true {
      let temporary = "\(path).\(getpid())\(number == 0 ? "" : ".\(number)").partial"
      // O_EXCL also refuses a link of that name, wherever it leads.
      let descriptor = retryingOnInterrupt { open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666) }
      if descriptor < 0, errno == EEXIST {
        number += 1
        continue
      }
      guard descriptor >= 0 else { throw Failure(.inputOutput, "\(name): cannot create: \(lastSystemError())") }
      UnfinishedFiles.add(temporary, descriptor)
      return (descriptor, TemporaryName(path: temporary))
    }
  }

  /// Gives the file that `descriptor` is open on its final name.
  func rename(to final: String, _ descriptor: Int32) throws(Failure) {
    guard isName(of: descriptor) else {
      throw Failure(.inputOutput, "\(final): rename failed: another file has taken the name \(path)")
    }
    guard Glibc.rename(path, final) == 0 else { throw Failure.inputOutput(final, "rename") }
    UnfinishedFiles.remove(path)
  }

  /// Removes the file that `descriptor` is open on, and no other.
  func remove(_ descriptor: Int32) {
    if isName(of: descriptor) { unlink(path) }
    UnfinishedFiles.remove(path)
  }

  private func isName(of descriptor: Int32) -> Bool { isSameFile(path, descriptor) }
}

/// Whether the name `path` still means the file that is open, no link followed.
package func isSameFile(_ path: String, _ descriptor: Int32) -> Bool {
  var (named, opened) = (stat(), stat())
  return lstat(path, &named) == 0 && fstat(descriptor, &opened) == 0 && named.st_dev == opened.st_dev
    && named.st_ino == opened.st_ino
}
