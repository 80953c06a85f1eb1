import Glibc
import Synchronization

/// The line of a terminal that tells how far a program is, drawn again and again on standard error.
///
/// The programs of a pipe share the terminal, and one of them draws at a time: the last one that is at work, whose work
/// is done when all of it is. Each that is at work locks one byte of the terminal's file, at the time at which it began,
/// and draws while nobody has locked a later one. The system takes a lock away when its process ends, however it ends,
/// and the program before it goes on. What is said beside it takes the line's place; the line comes again below.
public enum TerminalLine {
  public static let isTerminal = isatty(STDERR_FILENO) == 1

  /// The byte that this process has locked.
  private static let heldByte = Atomic<Int64>(noByte)
  private static let noByte: Int64 = -1
  /// Later than any time at which a program begins.
  private static let lastByte = Int64.max - 1
  /// Whether this process has drawn and nobody is known to have written since.
  private static let isDrawn = Atomic(false)

  /// Takes this process's place among those that are at work, before the first `draw`.
  ///
  /// - Parameter start: when the work began, in seconds of a clock that all processes share.
  public static func begin(at start: Double) {
    guard isTerminal else { return }
    release()
    let byte = Int64(start * 1e9)
    // Where the system has no such locks, everyone draws.
    if setLock(F_WRLCK, byte, STDERR_FILENO) { heldByte.store(byte, ordering: .relaxed) }
  }

  /// Draws `text` as far as the terminal is wide, where no program that began later is at work.
  public static func draw(_ text: String) {
    guard isTerminal, !isStandardOutputShown.load(ordering: .relaxed) else { return }
    guard !isLocked(from: heldByte.load(ordering: .relaxed) + 1) else {
      return isDrawn.store(false, ordering: .relaxed)
    }
    isDrawn.store(true, ordering: .relaxed)
    writeToStandardError("\(erasing)\(text.prefix(max(width - 1, 0)))")
  }

  /// Leaves the terminal to the others, without the line.
  public static func end() {
    if isDrawn.exchange(false, ordering: .relaxed) { writeToStandardError(erasing) }
    release()
  }

  /// Keeps everyone from drawing where standard output goes to a terminal, for whom lines of text come there.
  static func leaveToStandardOutput() {
    guard isatty(STDOUT_FILENO) == 1, !isStandardOutputShown.exchange(true, ordering: .relaxed) else { return }
    if isShown { writeToStandardError(erasing) }
    _ = setLock(F_WRLCK, lastByte, STDOUT_FILENO)
  }

  private static let isStandardOutputShown = Atomic(false)

  /// `text` as it is to be written to standard error: in the place of a line that is drawn.
  static func replacing(with text: String) -> String {
    guard isShown else { return text }
    isDrawn.store(false, ordering: .relaxed)
    return erasing + text
  }

  /// Begins a line below the one that is drawn; for the handler of a signal that ends the process.
  static func leave() {
    guard isDrawn.load(ordering: .relaxed) else { return }
    _ = Glibc.write(STDERR_FILENO, "\n", 1)
  }

  /// What takes the line away before another is written.
  package static let erasing = "\r\u{1b}[K"

  /// Whether this process or another may have drawn the line.
  private static var isShown: Bool { isTerminal && (isDrawn.load(ordering: .relaxed) || isLocked(from: 0)) }

  /// Columns of the terminal on standard error; asked each time, as windows change.
  package static var width: Int { width(of: STDERR_FILENO) }

  /// Columns of a terminal; 80 where it does not know.
  private static func width(of terminal: Int32) -> Int {
    var size = winsize()
    guard ioctl(terminal, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 0 else { return 80 }
    return Int(size.ws_col)
  }

  /// Columns of the terminal on standard output; nil where standard output is none.
  public static var outputWidth: Int? { isatty(STDOUT_FILENO) == 1 ? width(of: STDOUT_FILENO) : nil }

  private static func release() {
    let byte = heldByte.exchange(noByte, ordering: .relaxed)
    if byte != noByte { _ = setLock(F_UNLCK, byte, STDERR_FILENO) }
  }

  private static func setLock(_ type: Int32, _ byte: Int64, _ terminal: Int32) -> Bool {
    var lock = lock(type, from: byte)
    lock.l_len = 1
    return fcntl(terminal, F_SETLK, &lock) == 0
  }

  /// Whether another process has locked that byte or a later one.
  private static func isLocked(from byte: Int64) -> Bool {
    var lock = lock(F_WRLCK, from: byte)
    return fcntl(STDERR_FILENO, F_GETLK, &lock) == 0 && Int32(lock.l_type) != F_UNLCK
  }

  /// Of all bytes from `byte` on.
  private static func lock(_ type: Int32, from byte: Int64) -> flock {
    var lock = flock()
    (lock.l_type, lock.l_whence) = (Int16(type), Int16(SEEK_SET))
    lock.l_start = Int(byte)
    return lock
  }
}
