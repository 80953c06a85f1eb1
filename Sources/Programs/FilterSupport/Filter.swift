import ArgumentParser
import Glibc
import SystemIO

/// A program of the pipeline. Conforming types parse their options and do the work in `filter()`; what it throws
/// becomes one line on standard error and the exit code of its kind.
public protocol Filter: ParsableCommand {
  /// Whether files may be named as arguments; without it, the input is standard input alone.
  static var takesFiles: Bool { get }

  var messages: MessageOptions { get }

  mutating func filter() throws
}

/// The version of all programs.
public let packageVersion = "0.1.0"

extension Filter {
  public static var takesFiles: Bool { true }

  public static func main() { run(Array(CommandLine.arguments.dropFirst())) }

  /// The program, with these arguments.
  public static func run(_ arguments: [String]) {
    holdStandardDescriptors()
    takeChargeOfProcess(say: say, tellOfFile: { FactWriter.write(.file($0)) })
    var filter: any Filter
    do {
      if let wrong = emptyValue(arguments) { throw ValidationError(wrong) }
      let command = try parseAsRoot(dashed(arguments))
      guard let parsed = command as? any Filter else {
        // What ArgumentParser supplies itself, such as the help command.
        var other = command
        try other.run()
        return
      }
      filter = parsed
    } catch {
      guard exitCode(for: error).isSuccess else {
        complain(usageMessage(message(for: error), takesFiles: takesFiles))
        writeLine("see \(programName) --help")
        Glibc.exit(Failure.Kind.usage.rawValue)
      }
      // Help, the version or completions.
      let text = completingInBash(fullMessage(for: error))
      runAndExit {
        let output = OutputFile.standardOutput()
        try output.write("\(text)\n")
        try output.finish()
      }
    }
    filter.messages.progressDescriptor.map(FactWriter.open)
    runAndExit { try filter.filter() }
  }

  /// Ends the process after `work`: with 0, or by what it throws.
  private static func runAndExit(_ work: () throws -> Void) -> Never {
    do { try work() } catch {
      let failure = error as? Failure ?? Failure(.bug, "\(error)")
      if failure.kind == .brokenPipe { dieOfBrokenPipe() }
      say(failure)
      removeUnfinishedFiles()
      Glibc.exit(failure.kind.rawValue)
    }
    FactWriter.write(.end)
    Glibc.exit(0)
  }

  /// What is wrong where a value is empty, as a variable of a shell is that was never set: no file and no folder has
  /// that name, and the parser would take the next argument for what `--flag=` says.
  static func emptyValue(_ arguments: [String]) -> String? {
    // Of a shell that asks for completions, what is yet to be typed.
    guard arguments.first != "---completion" else { return nil }
    let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
    if let flag = arguments[..<end].first(where: { $0.hasPrefix("--") && $0.firstIndex(of: "=") == $0.indices.last }) {
      return "\(flag.dropLast()): expected a value, found an empty one"
    }
    guard let index = arguments.firstIndex(of: "") else { return nil }
    let isValue = index > 0 && index <= end && arguments[index - 1].hasPrefix("-")
    return
      "\(isValue ? "\(arguments[index - 1]): expected a value" : "expected the name of a file"), found an empty one"
  }

  /// The Python scripts' spelling of a flag, `--num_samples`, means `--num-samples`; values are left alone. A number
  /// below 0 is a value, not a flag: it is joined to the flag before it.
  static func dashed(_ arguments: [String]) -> [String] {
    let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
    var result: [String] = []
    for argument in arguments[..<end] {
      if let last = result.last, last.hasPrefix("--"), !last.contains("="), isNegative(argument) {
        result[result.count - 1] += "=\(argument)"
      } else if argument.hasPrefix("--") {
        let name = argument.prefix { $0 != "=" }
        result.append(name.map { $0 == "_" ? "-" : String($0) }.joined() + argument.dropFirst(name.count))
      } else {
        result.append(argument)
      }
    }
    return result + arguments[end...]
  }

  private static func isNegative(_ argument: String) -> Bool {
    argument.hasPrefix("-") && argument.dropFirst().first.map { $0.isASCII && $0.isNumber } ?? false
  }
}

@Sendable private func say(_ failure: Failure) {
  complain(failure.description)
  FactWriter.write(.error(printable(failure.description), exit: failure.kind.rawValue))
}

/// Ends the process as SIGPIPE would have, had it not been ignored for the sake of standard error.
private func dieOfBrokenPipe() -> Never {
  TerminalLine.end()
  removeUnfinishedFiles()
  signal(SIGPIPE, SIG_DFL)
  raise(SIGPIPE)
  Glibc.exit(Failure.Kind.brokenPipe.rawValue)
}
