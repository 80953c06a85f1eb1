import Glibc

/// Makes the folder `path` and those above it, where they are missing.
public func makeFolder(_ path: String) throws {
  var end = path.startIndex
  while end < path.endIndex {
    end = path[path.index(after: end)...].firstIndex(of: "/") ?? path.endIndex
    guard mkdir(String(path[..<end]), 0o777) == 0 || errno == EEXIST else {
      throw Failure(.inputOutput, "\(path): cannot create: \(lastSystemError())")
    }
  }
}

/// Refuses, before there is anything to write, a folder that files could not be written into. A file is tried in it or,
/// where it is missing, in the one in which it would be made; nothing is left behind.
///
/// - Throws: `Failure` of kind inputOutput.
public func checkOutputFolder(_ path: String) throws(Failure) {
  var folder = path.isEmpty ? "." : path
  var status = stat()
  while stat(folder, &status) != 0, errno == ENOENT {
    if let found = socketOrLinkToNowhere(at: folder) {
      throw Failure(.inputOutput, "\(path): cannot create: expected a folder or nothing of that name, found \(found)")
    }
    folder = SystemIO.folder(of: folder)
  }
  let (descriptor, trial) = try TemporaryName.create(beside: "\(folder)/.\(programName)", as: path)
  trial.remove(descriptor)
  close(descriptor)
}

/// The folder that holds `path`, by the path's own text: `.` where it names none.
public func folder(of path: String) -> String {
  let path = path.trimmingSlashes
  guard let slash = path.lastIndex(of: "/") else { return path == "/" ? "/" : "." }
  return slash == path.startIndex ? "/" : String(path[..<slash])
}

extension String {
  /// Without the slashes at its end, but for the root's.
  fileprivate var trimmingSlashes: String {
    var path = self[...]
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    return String(path)
  }
}

/// The path from the root of the file system, without links and dots; `path` itself where it does not exist.
public func absolutePath(_ path: String) -> String {
  guard let resolved = realpath(path, nil) else { return path }
  defer { free(resolved) }
  return String(cString: resolved)
}
