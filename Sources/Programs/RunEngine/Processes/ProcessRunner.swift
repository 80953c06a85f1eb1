import FilterSupport
import Glibc
import SystemIO

/// Runs jobs side by side, on one thread: whoever calls `next` waits for what their programs tell and for their ends.
///
/// As long as it lives, SIGINT, SIGTERM, SIGHUP and SIGQUIT end nothing but come as events, so that programs are ended
/// and files removed first; what `takeChargeOfProcess` has installed for them is put back by `die(of:)` and at the end.
/// Ctrl-Z stops the programs too. A process has one runner at a time. Its programs do not outlive the process, however
/// that ends: see `RunningJob`.
public final class ProcessRunner {
  private static let ends = [SIGINT, SIGTERM, SIGHUP, SIGQUIT]

  private let programs: ProgramFolder
  private let environment: [String]
  private let patience: Double
  private let signals: SignalPipe
  private var started = 0
  private var jobs: [RunningJob] = []
  private var events: [JobEvent] = []

  /// - Parameters:
  ///   - patience: seconds that programs which are told to end have for it.
  public init(programs: ProgramFolder = .own, patience: Double = 5) throws {
    self.programs = programs
    self.patience = patience
    environment = statedEnvironment()
    Descriptor.keepInherited()
    signals = try SignalPipe(Self.ends + [SIGTSTP, SIGCHLD])
  }

  deinit { endAll(signal: SIGTERM) }

  /// Starts a job's programs, each with `--progress-fd` and the descriptor that its facts are read from.
  ///
  /// - Returns: the job's number in the events.
  /// - Throws: `Failure` of kind unavailable where a program cannot be run, of kind cannotOpen where the input cannot be
  ///   opened, of kind inputOutput where too many files are open. Nothing of the job runs then.
  public func start(_ job: Job) throws -> Int {
    started += 1
    jobs.append(try RunningJob(job, number: started, programs: programs, environment: environment))
    return started
  }

  /// The next event; `idle` after `timeout` seconds without one.
  public func next(timeout: Double) throws -> JobEvent {
    let deadline = monotonicSeconds() + timeout
    while events.isEmpty {
      let left = deadline - monotonicSeconds()
      try turn(max(left, 0))
      if events.isEmpty, left <= 0 { return .idle }
    }
    return events.removeFirst()
  }

  /// Waits until something happens, `seconds` at most, and makes events of it.
  private func turn(_ seconds: Double) throws {
    let children = jobs.flatMap(\.children)
    var waiting = ([signals.reader] + children.flatMap { [$0.facts, $0.errors] }).filter { $0.number >= 0 }
      .map { pollfd(fd: $0.number, events: Int16(POLLIN), revents: 0) }
    guard poll(&waiting, nfds_t(waiting.count), Int32((min(seconds, 1e6) * 1000).rounded(.up))) >= 0 || errno == EINTR
    else { throw Failure.inputOutput("pipes of programs", "poll") }
    for signal in signals.take() { answer(signal) }
    for job in jobs {
      job.reap()
      for child in job.children { tell(child.takeOutput(), child, job) }
      guard job.hasEnded else { continue }
      // What they left in their pipes; those that they have started may have more to say, without end.
      for child in job.children { tell(child.takeOutput(1 << 20), child, job) }
      events.append(.ended(job: job.number, job.outcome))
    }
    jobs.removeAll(where: \.hasEnded)
  }

  private func tell(_ facts: [Fact], _ child: Child, _ job: RunningJob) {
    events += facts.map { .fact(job: job.number, program: child.program, $0) }
  }

  private func answer(_ signal: Int32) {
    if Self.ends.contains(signal) { events.append(.interrupted(signal: signal)) }
    guard signal == SIGTSTP else { return }
    // Their groups are not the terminal's, whose signal would not reach them.
    for job in jobs { job.send(SIGSTOP) }
    signals.stopProcess()
    for job in jobs { job.send(SIGCONT) }
    events.append(.idle)
  }

  /// Ends all programs and waits for that: first by `signal`; by SIGKILL where that takes long, or where this process is
  /// told to end meanwhile. Of the events there are then those of the jobs' ends alone.
  public func endAll(signal: Int32) {
    end(by: signal)
    // A program that waits for a device which does not answer cannot even be killed.
    if !jobs.isEmpty { end(by: SIGKILL) }
  }

  /// Returns when all have ended, when patience has, or when this process is told to end.
  private func end(by signal: Int32) {
    for job in jobs { job.end(signal) }
    let deadline = monotonicSeconds() + patience
    var isOver = false
    while !isOver, !jobs.isEmpty {
      let left = deadline - monotonicSeconds()
      isOver = (try? turn(max(left, 0))) == nil || left <= 0
      isOver = isOver || events.contains { if case .interrupted = $0 { true } else { false } }
      events.removeAll { if case .ended = $0 { false } else { true } }
    }
  }

  /// Ends this process as `signal` does without a runner, for a shell to see.
  public func die(of signal: Int32) -> Never {
    signals.restore()
    raise(signal)
    _exit(128 + signal)
  }
}
