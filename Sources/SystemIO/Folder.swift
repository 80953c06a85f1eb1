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

/// The path from the root of the file system, without links and dots; `path` itself where it does not exist.
public func absolutePath(_ path: String) -> String {
  guard let resolved = realpath(path, nil) else { return path }
  defer { free(resolved) }
  return String(cString: resolved)
}
