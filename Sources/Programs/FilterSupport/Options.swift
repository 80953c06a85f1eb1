import ArgumentParser
import Glibc
import SystemIO

/// What help says before its examples, which can be pasted where the demo's files are in a folder demo.
public let exampleFiles = """
  The examples read the folder demo of the source code. With the Python package, link to its copy first:
    ln -s "$(gradient-filters-demo --where)" demo
  """

/// Options that all filters share.
public struct MessageOptions: ParsableArguments {
  @Flag(name: [.long, .short], help: "Print no progress and no summary on standard error, only errors and warnings.")
  public var quiet = false

  @Option(
    name: .customLong("progress-fd"),
    help: ArgumentHelp(
      """
      Write progress and results as lines of JSON to this open file descriptor, such as 3, instead of words to \
      standard error.
      """,
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
