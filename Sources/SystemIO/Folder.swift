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

/// Makes the folder `path` where it is missing, and tries whether files can be made in it: before the work, not after.
///
/// - Throws: `Failure` of kind inputOutput.
public func prepareOutputFolder(_ path: String) throws {
  try makeFolder(path)
  let trial = "\(path)/.\(programName).\(getpid()).partial"
  let descriptor = retryingOnInterrupt { open(trial, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600) }
  guard descriptor >= 0 else {
    throw Failure(.inputOutput, "\(path): cannot write into this folder: \(lastSystemError())")
  }
  close(descriptor)
  unlink(trial)
}

/// The path from the root of the file system, without links and dots; `path` itself where it does not exist.
public func absolutePath(_ path: String) -> String {
  guard let resolved = realpath(path, nil) else { return path }
  defer { free(resolved) }
  return String(cString: resolved)
}
