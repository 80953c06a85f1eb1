import FilterSupport
import Glibc
import SystemIO

/// A program that a runner has started.
final class Child {
  /// The descriptor that a child writes its facts to.
  static let factsDescriptor = 3

  let program: String
  let process: pid_t
  let facts: Descriptor
  let errors: Descriptor
  private var lines = LineJoiner()
  private var words = Words()
  /// From its facts: the words that go with its exit code.
  private var error: String?
  /// As waitpid has it; nil while the program runs.
  private var status: Int32?
  /// Whether it ended as somebody wanted it to.
  private var wasAsked = false

  /// - Parameters:
  ///   - facts: where they are read, an end of a pipe.
  ///   - errors: where the program's standard error is read.
  init(_ program: String, _ process: pid_t, facts: Descriptor, errors: Descriptor) {
    (self.program, self.process, self.facts, self.errors) = (program, process, facts, errors)
    facts.stopBlocking()
    errors.stopBlocking()
  }

  /// The arguments of `command` with the flag that asks for facts, which must not stand after the end of flags.
  static func arguments(_ command: Command) -> [String] {
    let end = command.arguments.firstIndex(of: "--") ?? command.arguments.endIndex
    return [command.program] + command.arguments[..<end] + ["--progress-fd", "\(factsDescriptor)"]
      + command.arguments[end...]
  }

  /// Reads what has come.
  ///
  /// - Parameter limit: about how many bytes of each kind at most.
  /// - Returns: the facts among it. Lines that are none are left out.
  func takeOutput(_ limit: Int = 16_384) -> [Fact] {
    errors.take(limit) { words.add($0) }
    var taken: [Fact] = []
    facts.take(limit) { bytes in
      lines.add(bytes) { line in
        guard let fact = Fact.read(line)?.fact else { return }
        if case .error(let words, _) = fact { error = printable(words) }
        taken.append(fact)
      }
    }
    return taken
  }

  var hasEnded: Bool { status != nil }

  /// Looks whether the program has ended.
  ///
  /// - Parameter sent: the signals that it was sent.
  func reap(sent: Set<Int32>) {
    guard status == nil else { return }
    var status: Int32 = 0
    let found = retryingOnInterrupt { waitpid(process, &status, WNOHANG) }
    guard found != 0 else { return }
    // Where somebody else has waited for it, nobody knows how it ended.
    self.status = found == process ? status : Failure.Kind.bug.rawValue << 8
    wasAsked = sent.contains(exitCode - 128)
  }

  private var signal: Int32? { status.map { $0 & 0x7f }.flatMap { $0 == 0 ? nil : $0 } }

  /// As a shell has it; 0 while the program runs.
  var exitCode: Int32 { signal.map { 128 + $0 } ?? (status ?? 0) >> 8 & 0xff }

  /// How far a failure is from being this program's own.
  enum Blame: Comparable {
    case itsOwn
    /// It was ended because something else had failed.
    case asked
    /// Whoever read its output had gone.
    case brokenPipe
  }

  /// Nil where the program has not failed.
  var blame: Blame? {
    switch exitCode {
    case 0: nil
    case Failure.Kind.brokenPipe.rawValue: .brokenPipe
    case _ where wasAsked: .asked
    default: .itsOwn
    }
  }

  var failure: JobFailure {
    let said = error.map { "\(program): \($0)" } ?? words.text
    let how =
      signal.map { "ended by signal \($0), \(String(cString: strsignal($0)))" } ?? "failed with code \(exitCode)"
    return JobFailure(
      program: program, exitCode: exitCode, signal: signal, words: said.isEmpty ? "\(program): \(how)" : said)
  }
}
