import FilterSupport

/// Programs joined by pipes.
public struct Job: Sendable {
  public var commands: [Command]
  /// A file for the first program's standard input; nil: nothing to read.
  public var input: String?
  /// An open descriptor for the last program's standard output, which stays the caller's; nil: nowhere.
  public var output: Int32?

  public init(_ commands: [Command], input: String? = nil, output: Int32? = nil) {
    self.commands = commands
    self.input = input
    self.output = output
  }
}

/// How a job ended.
public struct JobOutcome: Equatable, Sendable {
  /// Of the program that failed by itself; nil after success.
  public var failure: JobFailure?
}

/// What a person is told of a job that failed, and the exit code that scripts see.
public struct JobFailure: Error, Equatable, Sendable {
  /// The program's name.
  public var program: String
  /// As a shell has it: 128 + the signal's number where a signal ended the program.
  public var exitCode: Int32
  /// What ended the program, where it was a signal.
  public var signal: Int32?
  /// The program's own words, its name before them: lines without control characters, never empty, of a bounded length.
  public var words: String
}

/// What a runner has to tell.
public enum JobEvent: Equatable, Sendable {
  /// A program of the job said this.
  case fact(job: Int, program: String, Fact)
  /// All programs of the job have ended. Nothing more comes of it.
  case ended(job: Int, JobOutcome)
  /// The process is to end: the owner calls `endAll(signal:)`, cleans up and calls `die(of:)`.
  case interrupted(signal: Int32)
  /// Nothing happened in the time given, or the process was stopped and goes on.
  case idle
}
