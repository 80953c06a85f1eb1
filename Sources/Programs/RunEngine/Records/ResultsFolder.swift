import FilterSupport
import Glibc
import SystemIO

/// A folder that is complete or absent: until it gets its name it is a hidden one beside that, locked by its maker.
package final class ResultsFolder {
  /// Where its files are written.
  package let path: String
  private let parent: String
  private let hidden: String
  private let descriptor: Int32

  /// Makes the hidden folder in `parent`, which is made where it is missing.
  ///
  /// - Throws: `Failure` of kind inputOutput.
  package init(in parent: String) throws {
    try makeFolder(parent)
    Self.sweep(parent)
    self.parent = parent
    while true {
      let name = Self.prefix + "\(getpid())-\(UInt32.random(in: 0 ... .max))" + Self.suffix
      let hidden = fileArgument("\(parent)/\(name)")
      guard mkdir(hidden, 0o777) == 0 else {
        if errno == EEXIST { continue }
        throw Failure(.inputOutput, "\(parent): cannot create: \(lastSystemError())")
      }
      guard let descriptor = Self.lock(hidden) else { continue }
      (self.hidden, self.descriptor) = (hidden, descriptor)
      path = "\(hidden)/output"
      guard mkdir(path, 0o777) == 0 else {
        throw Failure(.inputOutput, "\(parent): cannot create: \(lastSystemError())")
      }
      return
    }
  }

  /// A folder beside the results for what is not to be left.
  var scratch: String { "\(hidden)/work" }

  /// Puts all of it on the disk and gives it the first of the names that nobody has.
  ///
  /// - Parameter names: names in the parent folder, without end.
  /// - Returns: the path.
  package func publish(as names: some Sequence<String>) throws -> String {
    for name in namesInFolder(path) {
      let descriptor = open("\(path)/\(name)", O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
      defer { if descriptor >= 0 { close(descriptor) } }
      guard descriptor >= 0, fsync(descriptor) == 0 else {
        throw Failure(.inputOutput, "\(path)/\(name): cannot write: \(lastSystemError())")
      }
    }
    syncFolder(path)
    for name in names {
      let final = "\(parent)/\(name)"
      var status = stat()
      if lstat(final, &status) == 0 { continue }
      // Should another run take the name now, its folder is not empty, and nothing is renamed over that.
      guard rename(path, final) == 0 else {
        if [EEXIST, ENOTEMPTY, ENOTDIR].contains(errno) { continue }
        throw Failure(.inputOutput, "\(final): cannot create: \(lastSystemError())")
      }
      syncFolder(parent)
      return final
    }
    throw Failure(.inputOutput, "\(parent): cannot create: every name is taken")
  }

  deinit {
    Self.remove(hidden)
    close(descriptor)
    // At the start a run that had just been killed may still have been dying, with its lock.
    Self.sweep(parent)
  }

  private static let prefix = ".gradient-run-"
  private static let suffix = ".partial"

  /// Removes what runs that were killed have left in `parent`.
  private static func sweep(_ parent: String) {
    for name in namesInFolder(parent) where name.hasPrefix(prefix) && name.hasSuffix(suffix) {
      let numbers = name.dropFirst(prefix.count).dropLast(suffix.count).split(separator: "-")
      guard numbers.count == 2, numbers.allSatisfy({ $0.allSatisfy(\.isWholeNumber) }) else { continue }
      let path = "\(parent)/\(name)"
      guard let descriptor = lock(path) else { continue }
      remove(path)
      close(descriptor)
    }
  }

  /// - Returns: nil where another process has the folder, or it is no folder.
  private static func lock(_ path: String) -> Int32? {
    let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    if flock(descriptor, LOCK_EX | LOCK_NB) == 0, isSameFile(path, descriptor) { return descriptor }
    close(descriptor)
    return nil
  }

  /// Links are removed, not followed.
  private static func remove(_ path: String) {
    if unlink(path) == 0 || errno == ENOENT { return }
    for name in namesInFolder(path) { remove("\(path)/\(name)") }
    rmdir(path)
  }
}
