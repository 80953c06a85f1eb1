import Foundation
import Glibc
import Synchronization

/// A terminal without a window: programs write to `path`, and what they wrote is kept.
final class PseudoTerminal: Sendable {
  let path: String
  private let master: Int32
  /// Open on the program's side, so that the terminal outlives each of them.
  private let program: Int32
  private let written = Mutex("")

  /// - Parameter columns: how wide it says that it is.
  init(columns: Int) throws {
    var (master, program): (Int32, Int32) = (-1, -1)
    guard openpty(&master, &program, nil, nil, nil) == 0 else { throw POSIXError(.ENOTTY) }
    (self.master, self.program, path) = (master, program, "/proc/\(getpid())/fd/\(program)")
    resize(columns: columns)
  }

  deinit {
    close(program)
    close(master)
  }

  func resize(columns: Int) {
    var size = winsize(ws_row: 24, ws_col: UInt16(columns), ws_xpixel: 0, ws_ypixel: 0)
    _ = ioctl(master, UInt(TIOCSWINSZ), &size)
  }

  /// What programs write while `body` runs, and before.
  ///
  /// - Parameter didWrite: is given all that was written so far, each time that there is more.
  func watch(
    _ didWrite: @escaping @Sendable (String) -> Void = { _ in }, while body: () throws -> Void
  ) throws -> String {
    let isOver = Flag()
    let reader = DispatchGroup()
    DispatchQueue.global().async(group: reader) { [self] in
      while true {
        let wasOver = isOver.value.load(ordering: .acquiring)
        var waiting = pollfd(fd: master, events: Int16(POLLIN), revents: 0)
        if poll(&waiting, 1, 50) > 0 {
          keep(didWrite)
        } else if wasOver {
          return
        }
      }
    }
    defer { reader.wait() }
    defer { isOver.value.store(true, ordering: .releasing) }
    try body()
    isOver.value.store(true, ordering: .releasing)
    reader.wait()
    return written.withLock { $0 }
  }

  private final class Flag: Sendable {
    let value = Atomic(false)
  }

  private func keep(_ didWrite: (String) -> Void) {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = read(master, &bytes, bytes.count)
    didWrite(
      written.withLock { text in
        text += String(decoding: bytes[..<max(count, 0)], as: UTF8.self)
        return text
      })
  }

  /// The lines that a terminal of any width shows in the end.
  static func screen(_ text: String) -> [String] {
    var lines = [""]
    var column = 0
    var rest = text.unicodeScalars[...]
    while let scalar = rest.popFirst() {
      switch scalar {
      case "\r": column = 0
      case "\n": lines.append("")
      case "\u{1b}":
        rest = rest.dropFirst(2)
        lines[lines.count - 1] = String(lines.last!.prefix(column))
      default:
        var line = Array(lines.last!)
        line += Array(repeating: " ", count: max(0, column - line.count))
        line.replaceSubrange(column..<min(column + 1, line.count), with: [Character(scalar)])
        lines[lines.count - 1] = String(line)
        column += 1
      }
    }
    return lines
  }

  /// The lines that were drawn to be drawn over, in order.
  static func drawings(_ text: String) -> [String] {
    text.replacing("\r\n", with: "\n").split(separator: "\r\u{1b}[K", omittingEmptySubsequences: false).dropFirst()
      .filter { !$0.isEmpty && !$0.contains("\n") }.map(String.init)
  }
}
