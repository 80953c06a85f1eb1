import FilterSupport
import Glibc
import SystemIO

/// What a person sees of a run on standard error: on a terminal a line that rewrites itself, elsewhere a line every ten
/// seconds; in between, lines of words. Where standard error is full, closed or not read the run goes on.
public final class RunDisplay {
  private let name: String
  private let quiet: Bool
  private let isTerminal = TerminalLine.isTerminal
  private static let mostColumns = 200
  /// Seconds between two lines of progress.
  private let interval: Double
  private var stage: StageProgress?
  private var devices: Set<String> = []
  private var lastShown = monotonicSeconds()
  /// The line that the terminal shows now.
  private var drawn = ""

  /// From now on a reader of standard error who goes away ends nothing in this process: SIGPIPE is ignored.
  ///
  /// - Parameters:
  ///   - name: before each line of words.
  ///   - quiet: shows complaints alone.
  public init(name: String, quiet: Bool) {
    (self.name, self.quiet) = (name, quiet)
    interval = isTerminal ? 0.1 : 10
    signal(SIGPIPE, SIG_IGN)
  }

  /// A stage begins.
  ///
  /// - Parameters:
  ///   - tasks: how many there are to do, those that are done already left out.
  ///   - weight: the sum of their weights, any measure of the time that they take.
  public func begin(stage: String, number: Int, of count: Int, tasks: Int, weight: Double) {
    let now = monotonicSeconds()
    self.stage = StageProgress(stage: stage, number: number, of: count, tasks: tasks, weight: weight, now: now)
    tick()
  }

  /// - Parameter task: what tells it from those that run beside it, such as "layer 3"; empty where it is alone.
  public func start(task: String, weight: Double) {
    stage?.start(task: task, weight: weight)
    tick()
  }

  /// A task is so far; the values are those of `Fact.progress`.
  public func progress(task: String, done: Int, total: Int?, unit: String, tokens: Int, seconds: Double) {
    stage?.progress(task: task, done: done, total: total, unit: unit, tokens: tokens, seconds: seconds)
    tick()
  }

  public func finish(task: String) {
    stage?.finish(task: task)
    tick()
  }

  /// A program computes there: said once of each device, and hidden by quiet.
  public func device(_ words: String) {
    if devices.insert(words).inserted { say("device: \(words)") }
  }

  /// A line with the run's name before it; hidden by quiet.
  public func say(_ line: String) {
    if !quiet { complain(line) }
  }

  /// A line with the run's name before it; never hidden.
  public func complain(_ line: String) { show("\(name): \(printable(line))") }

  /// Lines of another program, which have its name before them and no control characters; never hidden.
  public func show(_ lines: String) {
    clear()
    writeToStandardError("\(lines)\n")
  }

  /// Shows how far the run is, where that is due: to be called several times a second.
  public func tick() {
    let now = monotonicSeconds()
    guard let stage, !quiet, now - lastShown >= interval else { return }
    let text = stage.text(columns: isTerminal ? min(TerminalLine.width, Self.mostColumns) : Self.mostColumns, now: now)
    // Progress is not worth waiting for a reader.
    guard text != drawn, isWritable else { return }
    lastShown = now
    writeToStandardError(isTerminal ? TerminalLine.erasing + text : "\(name): \(text)\n")
    if isTerminal { drawn = text }
  }

  /// Nothing is shown any more but words; the terminal's line is taken away.
  public func stop() {
    clear()
    stage = nil
  }

  private func clear() {
    if !drawn.isEmpty { writeToStandardError(TerminalLine.erasing) }
    drawn = ""
  }

  private var isWritable: Bool {
    var waiting = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
    return poll(&waiting, 1, 0) == 1 && waiting.revents & Int16(POLLOUT) != 0
  }
}
