/// What stops a program: one line for the person at the terminal and the exit code that scripts see.
///
/// Messages name what, where, expected and found, in lower case and without a full stop.
public struct Failure: Error, Equatable, CustomStringConvertible {
  /// The classes of failure, with the exit codes of `sysexits.h`. Never 255: `xargs` would stop the whole run.
  public enum Kind: Int32, Sendable {
    case usage = 64
    /// Malformed, truncated, mismatched or empty input.
    case malformed = 65
    case cannotOpen = 66
    /// The device asked for is not there.
    case unavailable = 69
    /// A bug in the program itself.
    case bug = 70
    case outOfMemory = 71
    /// A read or a write failed.
    case inputOutput = 74
    /// Whoever read the output has gone, which is their choice: the program ends as SIGPIPE would have it, without a word.
    case brokenPipe = 141
  }

  public let kind: Kind
  public let description: String

  public init(_ kind: Kind, _ description: String) {
    self.kind = kind
    self.description = description
  }

  /// The same failure, said of `source`: "source: message".
  public func at(_ source: String) -> Failure {
    Failure(kind, "\(source): \(description)")
  }
}
