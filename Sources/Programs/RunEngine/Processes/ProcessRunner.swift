/// Runs jobs side by side, on one thread.
public final class ProcessRunner {
  public init(programs: ProgramFolder = .own) throws {}
  /// - Returns: the job's number.
  public func start(_ job: Job) throws -> Int { 0 }
  public func next(timeout: Double) throws -> JobEvent { .idle }
  public func endAll(signal: Int32) {}
  public func die(of signal: Int32) -> Never { fatalError() }
}
