import Glibc
import SystemIO
import TensorStream

extension StreamWriter {
  /// A stream on standard output, which must not be a terminal: it would show binary data.
  public static func toStandardOutput() throws -> StreamWriter {
    guard !standardOutputIsTerminal else {
      throw Failure(.usage, "standard output is a terminal: send the stream to a file or to the next program")
    }
    return StreamWriter(.standardOutput())
  }
}

public var standardOutputIsTerminal: Bool { isatty(STDOUT_FILENO) == 1 }
