import Glibc
import Synchronization
import SystemIO

/// Writes this process's facts to the descriptor that `--progress-fd` names, and nothing where it names none.
public enum FactWriter {
  /// Nil without a reader.
  private static let descriptor = Mutex<Int32?>(nil)

  /// Whether somebody reads the facts: those that cost something to find out need not be otherwise.
  public static var isOpen: Bool { descriptor.withLock { $0 != nil } }

  static func open(_ number: Int32) {
    descriptor.withLock { $0 = number }
  }

  /// Writes the line, in one call where the system takes it. Where that fails, as when the reader has gone, there are no
  /// more facts, and the work goes on.
  public static func write(_ fact: Fact) {
    guard isOpen else { return }
    let line = Array(fact.line(program: programName).utf8)
    descriptor.withLock { descriptor in
      guard let number = descriptor, !writeAll(line, to: number) else { return }
      descriptor = nil
    }
  }

  private static func writeAll(_ line: [UInt8], to descriptor: Int32) -> Bool {
    line.withUnsafeBytes { bytes in
      var rest = bytes
      while !rest.isEmpty {
        let count = Glibc.write(descriptor, rest.baseAddress, rest.count)
        if count >= 0 {
          rest = .init(rebasing: rest[count...])
        } else if errno == EAGAIN {
          // A pipe that its reader made non-blocking, and that is full.
          var waiting = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
          poll(&waiting, 1, -1)
        } else if errno != EINTR {
          return false
        }
      }
      return true
    }
  }
}
