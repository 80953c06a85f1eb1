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

/// Cores that the scheduler lets this process use, within its cgroup's quota.
public func availableCores() -> Int {
  var cores = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
  // Glibc's module has no sched_getaffinity; the kernel shows the same mask here, in hexadecimal.
  let mask = fields(of: "/proc/self/status") { $0.first == "Cpus_allowed:" }?.last
  if let mask {
    let allowed = mask.compactMap(\.hexDigitValue).reduce(0) { $0 + $1.nonzeroBitCount }
    if allowed > 0 { cores = min(cores, allowed) }
  }
  if let quota = fields(of: "/sys/fs/cgroup/cpu.max", where: { $0.count == 2 }), let limit = Double(quota[0]),
    let period = Double(quota[1]), period > 0
  {
    cores = min(cores, Int((limit / period).rounded(.up)))
  }
  return max(cores, 1)
}

/// The words of the first line of a small file that satisfy `condition`.
private func fields(of path: String, where condition: ([Substring]) -> Bool) -> [Substring]? {
  guard let text = try? InputFile(path: path).readAll(limit: 65_536) else { return nil }
  return String(decoding: text, as: UTF8.self).split(separator: "\n")
    .map { $0.split(whereSeparator: \.isWhitespace) }.first(where: condition)
}
