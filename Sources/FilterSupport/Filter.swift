import ArgumentParser
import Glibc
import SystemIO

/// A program of the pipeline. Conforming types parse their options and do the work in `filter()`; what it throws
/// becomes one line on standard error and the exit code of its kind.
public protocol Filter: ParsableCommand {
  mutating func filter() throws
}

/// The version of all programs.
public let packageVersion = "0.1.0"

extension Filter {
  public static func main() {
    holdStandardDescriptors()
    takeChargeOfProcess()
    var filter: Self
    do {
      let command = try parseAsRoot(dashed(Array(CommandLine.arguments.dropFirst())))
      guard let parsed = command as? Self else {
        // What ArgumentParser supplies itself, such as the help command.
        var other = command
        try other.run()
        return
      }
      filter = parsed
    } catch {
      exit(withError: error)
    }
    do {
      try filter.filter()
    } catch {
      let failure = error as? Failure ?? Failure(.bug, "\(error)")
      if failure.kind == .brokenPipe { dieOfBrokenPipe() }
      complain(failure.description)
      Glibc.exit(failure.kind.rawValue)
    }
  }

  /// The Python scripts' spelling of a flag, `--num_samples`, means `--num-samples`; values are left alone.
  static func dashed(_ arguments: [String]) -> [String] {
    let end = arguments.firstIndex(of: "--") ?? arguments.endIndex
    return arguments.enumerated().map { index, argument in
      guard index < end, argument.hasPrefix("--") else { return argument }
      let name = argument.prefix { $0 != "=" }
      return name.map { $0 == "_" ? "-" : String($0) }.joined() + argument.dropFirst(name.count)
    }
  }
}

/// Ends the process as SIGPIPE would have, where a parent told it to ignore SIGPIPE.
private func dieOfBrokenPipe() -> Never {
  signal(SIGPIPE, SIG_DFL)
  raise(SIGPIPE)
  Glibc.exit(Failure.Kind.brokenPipe.rawValue)
}
