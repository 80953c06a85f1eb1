import ArgumentParser
import Glibc
import SystemIO

/// Options that all filters share.
public struct MessageOptions: ParsableArguments {
  @Flag(name: [.long, .short], help: "No progress and no summary on standard error; errors and warnings still.")
  public var quiet = false

  @Option(
    name: .customLong("progress-fd"),
    help: ArgumentHelp(
      "Write progress and results to this open descriptor, such as 3, as lines of JSON instead of words.",
      valueName: "number"))
  public var progressDescriptor: Int32?

  public init() {}

  public func validate() throws {
    guard let number = progressDescriptor else { return }
    // The stream is on standard output.
    let mode = number > STDOUT_FILENO ? fcntl(number, F_GETFL) : -1
    guard mode >= 0, mode & O_ACCMODE != O_RDONLY else {
      throw ValidationError(
        "--progress-fd: expected a descriptor above 1 that is open for writing, found \(number)")
    }
  }

  public func note(_ message: String) { FilterSupport.note(message, quiet: quiet) }
}

/// Says what is good to know: on standard error unless `quiet`, and as a fact.
func note(_ message: String, quiet: Bool) {
  if !quiet { complain(message) }
  FactWriter.write(.note(printable(message)))
}

/// Says what may not be meant so: on standard error, quiet or not, and as a fact.
public func warn(_ message: String) {
  complain("warning: \(message)")
  FactWriter.write(.warning(printable(message)))
}
