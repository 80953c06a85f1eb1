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

/// Refuses, before there is anything to write, a folder that files could not be written into: `path` or, where it is
/// missing, the one in which it would be made must be a folder that this process may write to.
///
/// - Throws: `Failure` of kind inputOutput.
public func checkOutputFolder(_ path: String) throws(Failure) {
  var folder = path.isEmpty ? "." : path
  while true {
    var status = stat()
    if stat(folder, &status) == 0 {
      guard status.st_mode & S_IFMT == S_IFDIR else {
        throw Failure(.inputOutput, "\(path): cannot write: expected a folder, found \(kindOfFile(status)): \(folder)")
      }
      if faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0 { return }
    }
    guard errno == ENOENT else { throw Failure(.inputOutput, "\(path): cannot write: \(lastSystemError()): \(folder)") }
    folder = SystemIO.folder(of: folder)
  }
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

/// The names in a folder, in no order; none where it cannot be read.
public func names(in folder: String) -> [String] {
  guard let directory = opendir(folder) else { return [] }
  defer { closedir(directory) }
  var names: [String] = []
  while let entry = readdir(directory) {
    let name = withUnsafePointer(to: &entry.pointee.d_name) {
      $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
    }
    if name != ".", name != ".." { names.append(name) }
  }
  return names
}
