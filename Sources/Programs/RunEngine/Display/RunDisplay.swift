/// What a person sees of a run on standard error.
public final class RunDisplay {
  public init(name: String, quiet: Bool) {}
  /// A stage of `tasks` tasks begins, of which `weight` is the sum of their weights.
  public func begin(stage: String, number: Int, of count: Int, tasks: Int, weight: Double) {}
  public func start(task: String, weight: Double) {}
  public func progress(task: String, done: Int, total: Int?, unit: String, tokens: Int, seconds: Double) {}
  public func finish(task: String) {}
  /// Shown once for each device.
  public func device(_ words: String) {}
  /// A line with the run's name before it; hidden by quiet.
  public func say(_ line: String) {}
  /// A line with the run's name before it; never hidden.
  public func complain(_ line: String) {}
  /// Lines of another program, which have its name before them; never hidden.
  public func show(_ lines: String) {}
  public func tick() {}
  public func stop() {}
}
