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
