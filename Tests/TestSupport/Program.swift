import Foundation

/// A program of this package, run as a user's shell would run it.
public struct Program {
  public struct Outcome {
    /// The exit code, or 128 + the signal's number as a shell has it.
    public let status: Int32
    public let output: Data
    public let errors: String

    public var text: String { String(decoding: output, as: UTF8.self) }

    /// Whether the program failed as it should: that code, one line on standard error, nothing said twice. Of a wrong
    /// command line a second one tells where the help is.
    public func failed(_ status: Int32, saying words: String) -> Bool {
      var lines = errors.split(separator: "\n").filter { !$0.contains("device: ") }
      if status == 64, lines.count == 2, lines[1].hasPrefix("see "), lines[1].hasSuffix(" --help") {
        lines.removeLast()
      }
      return self.status == status && lines.count == 1 && lines[0].contains(words)
    }
  }

  /// Where the programs are built, beside the tests themselves.
  public static let folder = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()

  public let name: String

  public init(_ name: String) { self.name = name }

  public var path: String { Self.folder.appendingPathComponent(name).path }

  /// Runs the program to its end.
  public func run(_ arguments: [String], input: Data = Data(), environment: [String: String] = [:]) throws -> Outcome {
    try Self.run(path, arguments, input: input, environment: environment)
  }

  /// Runs a shell command line with the programs on its PATH.
  public static func shell(_ command: String, input: Data = Data()) throws -> Outcome {
    let path = "\(folder.path):\(ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin")"
    return try run("/bin/bash", ["-c", command], input: input, environment: ["PATH": path])
  }

  private static func run(
    _ path: String, _ arguments: [String], input: Data, environment: [String: String]
  ) throws -> Outcome {
    // Files instead of pipes: no output is so long that it must be drained while the program runs.
    let scratch = try TemporaryFolder()
    let process = Process()
    process.executableURL = URL(fileURLWithPath: path)
    process.arguments = arguments
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { _, new in new }
    try input.write(to: scratch.url("in"))
    for name in ["out", "err"] { try Data().write(to: scratch.url(name)) }
    process.standardInput = try FileHandle(forReadingFrom: scratch.url("in"))
    process.standardOutput = try FileHandle(forWritingTo: scratch.url("out"))
    process.standardError = try FileHandle(forWritingTo: scratch.url("err"))
    try withoutBlockedSignals { try process.run() }
    process.waitUntilExit()
    let signalled = process.terminationReason == .uncaughtSignal
    return Outcome(
      status: process.terminationStatus + (signalled ? 128 : 0), output: try Data(contentsOf: scratch.url("out")),
      errors: String(decoding: try Data(contentsOf: scratch.url("err")), as: UTF8.self))
  }
}

/// Runs `body` with all signals open to this thread: tests run on threads that block most, and a child inherits that.
private func withoutBlockedSignals(_ body: () throws -> Void) rethrows {
  var (none, former) = (sigset_t(), sigset_t())
  sigemptyset(&none)
  pthread_sigmask(SIG_SETMASK, &none, &former)
  defer { pthread_sigmask(SIG_SETMASK, &former, nil) }
  try body()
}

/// A folder that is gone with the object.
public final class TemporaryFolder {
  public let path: String

  public init() throws {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("gradient-filters-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true)
    path = url.path
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  public func url(_ name: String) -> URL { URL(fileURLWithPath: path).appendingPathComponent(name) }
  public func file(_ name: String) -> String { url(name).path }
}
