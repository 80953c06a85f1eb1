import Glibc

/// The C library's words for `errno`, read before anything else can change it.
func lastSystemError() -> String {
  String(cString: strerror(errno))
}

/// Repeats `call` while a signal interrupts it.
func retryingOnInterrupt<T: SignedInteger>(_ call: () -> T) -> T {
  while true {
    let result = call()
    if result != -1 || errno != EINTR { return result }
  }
}

extension Failure {
  /// `path: cannot open: No such file or directory`, exit code 66.
  static func cannotOpen(_ path: String) -> Failure {
    Failure(.cannotOpen, "\(path): cannot open: \(lastSystemError())")
  }

  /// `path: action failed: Input/output error`, exit code 74.
  static func inputOutput(_ path: String, _ action: String) -> Failure {
    Failure(.inputOutput, "\(path): \(action) failed: \(lastSystemError())")
  }
}
