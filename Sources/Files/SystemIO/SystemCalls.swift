import Glibc

/// The C library's words for `errno`, read before anything else can change it.
package func lastSystemError() -> String {
  String(cString: strerror(errno))
}

/// Repeats `call` while a signal interrupts it.
package func retryingOnInterrupt<T: SignedInteger>(_ call: () -> T) -> T {
  while true {
    let result = call()
    if result != -1 || errno != EINTR { return result }
  }
}

/// Where it is a pipe, has it hold a quarter of a megabyte: a writer and a reader then take turns less often. Not as much
/// as the system allows, which it counts for each user and answers with tiny pipes beyond.
func widenPipe(_ descriptor: Int32) {
  // F_SETPIPE_SZ and F_GETPIPE_SZ, which Swift does not import. Both fail for what is no pipe.
  let (set, get, size): (Int32, Int32, Int32) = (1031, 1032, 256 << 10)
  let found = fcntl(descriptor, get)
  if found > 0, found < size { _ = fcntl(descriptor, set, size) }
}

extension Failure {
  /// `path: cannot open: No such file or directory`, exit code 66.
  package static func cannotOpen(_ path: String) -> Failure {
    let reason = lastSystemError()
    // The system's words for these, such as "No such device or address", do not tell what is wrong.
    if let found = socketOrLinkToNowhere(at: path) {
      return Failure(.cannotOpen, "\(path): cannot open: expected a file, found \(found)")
    }
    return Failure(.cannotOpen, "\(path): cannot open: \(reason)")
  }

  /// `path: action failed: Input/output error`, exit code 74.
  package static func inputOutput(_ path: String, _ action: String) -> Failure {
    Failure(.inputOutput, "\(path): \(action) failed: \(lastSystemError())")
  }
}

/// Gives descriptors 0, 1 and 2 where they are closed to something that fails when it is used, but for standard error.
/// Otherwise the next file to be opened gets one: messages would be written into it, or it would be read as the input.
public func holdStandardDescriptors() {
  for (descriptor, mode) in [(STDIN_FILENO, O_WRONLY), (STDOUT_FILENO, O_RDONLY), (STDERR_FILENO, O_WRONLY)]
  where fcntl(descriptor, F_GETFD) == -1 {
    // Ascending, so that each open takes the descriptor that is missing.
    _ = retryingOnInterrupt { open("/dev/null", mode) }
  }
}
