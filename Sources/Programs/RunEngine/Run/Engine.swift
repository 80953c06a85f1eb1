import Aggregation
import FilterSupport
import Glibc
import SystemIO
import TensorStream

/// How a run ends that has said why: with the exit code of the program that failed, or by a signal that it was sent.
public struct RunEnd: Error, Equatable {
  public let exitCode: Int32
  public let signal: Int32?
}

/// Carries out the steps of a plan, some side by side.
final class Engine {
  let runner: ProcessRunner
  let display: RunDisplay
  private let work: WorkFolder?
  private let results: ResultsFolder?
  /// Threads to share out; nil where each program takes what there is.
  private let threads: Int?
  private let quiet: Bool
  /// Of the averages.
  private(set) var statistics: [Place: [AveragingMode: Statistics]] = [:]
  private(set) var device: String?
  private var running: [Int: RunningTask] = [:]

  init(
    _ runner: ProcessRunner, _ display: RunDisplay, work: WorkFolder?, results: ResultsFolder?, threads: Int?,
    quiet: Bool
  ) {
    (self.runner, self.display, self.work, self.results) = (runner, display, work, results)
    (self.threads, self.quiet) = (threads, quiet)
  }

  private struct RunningTask {
    let task: RunTask
    /// Of the steps that are made.
    let steps: [Plan.Step]
    let claims: [WorkFolder.Claim]
    var pipe = 0
  }

  // MARK: - Tasks

  /// Does the tasks, `jobs` at a time. After a failure no more are started, and those that run are waited for.
  ///
  /// - Throws: `RunEnd` where a program failed, which has been said; `Failure` of the files of this process.
  func perform(_ tasks: [RunTask], jobs: Int) throws {
    let jobs = min(jobs, tasks.count)
    let share = jobs > 1 ? max(1, (threads ?? availableCores()) / jobs) : threads
    var waiting = tasks
    var failure: RunEnd?
    var announced: Set<String> = []
    // Whatever is thrown: no program of this run goes on without it.
    defer { if !running.isEmpty { end(by: SIGTERM) } }
    while !running.isEmpty || !waiting.isEmpty && failure == nil {
      var held: [RunTask] = []
      while failure == nil, running.count < jobs, !waiting.isEmpty {
        let task = waiting.removeFirst()
        if try !start(task, threads: share) { held.append(task) }
      }
      for task in held where announced.insert(task.steps[0].name).inserted {
        display.say("waiting for another run, which is making \(work!.file(task.steps[0].name))")
      }
      waiting = held + waiting
      if running.isEmpty && waiting.isEmpty { break }
      switch try runner.next(timeout: 0.2) {
      case .fact(let job, let program, let fact): note(fact, of: program, running[job]?.task)
      case .ended(let job, let outcome):
        guard let ended = running.removeValue(forKey: job) else { continue }
        if let end = try finish(ended, outcome.failure, threads: share) { failure = failure ?? end }
      case .interrupted(let signal):
        end(by: signal)
        throw RunEnd(exitCode: 128 + signal, signal: signal)
      case .idle: break
      }
      display.tick()
    }
    if let failure { throw failure }
  }

  private func end(by signal: Int32) {
    runner.endAll(signal: signal)
    running = [:]
  }

  /// - Returns: false where another run is making what the task is to make.
  private func start(_ task: RunTask, threads: Int?) throws -> Bool {
    var claims: [WorkFolder.Claim] = []
    if let work, !task.isResults {
      for step in task.steps {
        guard let claim = try work.claim(step.name) else { return false }
        claims.append(claim)
      }
    }
    // Another run may have made some of it meanwhile.
    let steps = task.isResults ? task.steps : task.steps.filter { work!.state(of: $0.name) != .complete }
    guard !steps.isEmpty else {
      display.finish(task: task.name)
      return true
    }
    display.start(task: task.name, weight: task.weight)
    claims = claims.filter { claim in steps.contains { $0.name == claim.name } }
    try startPipe(RunningTask(task: task, steps: steps, claims: claims), threads: threads)
    return true
  }

  private func startPipe(_ running: RunningTask, threads: Int?) throws {
    let step = running.steps[0]
    var commands = step.pipes[running.pipe]
    var job = Job([], input: step.input)
    var opened: Int32?
    defer { if let opened { close(opened) } }
    if let work, let joined = Plan.joined(running.steps, work: work.path) {
      commands = [joined]
    } else if !running.task.isResults {
      job.output = running.claims[0].descriptor
    } else if let results {
      let stream = "\(results.path)/\(aggregatesName)"
      if running.pipe == 0 {
        opened = open(stream, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
        guard let opened, opened >= 0 else {
          throw Failure(.inputOutput, "\(stream): cannot create: \(lastSystemError())")
        }
        job.output = opened
      } else {
        job.input = stream
      }
    }
    job.commands = commands.map { $0.with(threads: threads).naming(results?.path ?? resultsFolder) }
    self.running[try runner.start(job)] = running
  }

  /// - Returns: how the run is to end where the task failed.
  private func finish(_ ended: RunningTask, _ failure: JobFailure?, threads: Int?) throws -> RunEnd? {
    if let failure {
      display.finish(task: ended.task.name)
      display.show(failure.words)
      if !ended.task.isResults { complain(ended, failure) }
      return RunEnd(exitCode: failure.exitCode, signal: nil)
    }
    if ended.pipe + 1 < ended.steps[0].pipes.count {
      var next = ended
      next.pipe += 1
      try startPipe(next, threads: threads)
      return nil
    }
    if !ended.task.isResults {
      if ended.steps.count > 1 {
        for step in ended.steps { try work!.record(step.name, step.key) }
      } else {
        try ended.claims[0].publish(ended.steps[0].key)
      }
    }
    display.finish(task: ended.task.name)
    return nil
  }

  private func complain(_ ended: RunningTask, _ failure: JobFailure) {
    display.complain("\(ended.steps.map(\.name).joined(separator: ", ")): not completed")
    guard failure.exitCode == Failure.Kind.malformed.rawValue, let input = ended.steps[0].input else { return }
    display.complain("if \(input) is damaged, remove it: it will be made again")
  }

  private func note(_ fact: Fact, of program: String, _ task: RunTask?) {
    switch fact {
    case .progress(let done, let total, let unit, let tokens, let seconds):
      guard let task, program == task.main else { return }
      display.progress(
        task: task.name, done: done, total: total, unit: unit, tokens: tokens, seconds: seconds)
    case .device(let words):
      device = words
      display.device(words)
    case .statistics(let place, let measure, let numbers, _):
      if measure.quantity == .gradient { statistics[place, default: [:]][measure.mode] = numbers }
    case .warning(let words): display.show("\(program): warning: \(words)")
    // Of averages, one for every layer that is summed.
    case .note(let words) where program != "grad-aggregate":
      let words = results.map { words.replacing(" in \($0.path)", with: "") } ?? words
      if !quiet { display.show("\(program): \(words)") }
    case .note, .loss, .reconstruction, .file, .error, .end: break
    }
  }
}

extension Command {
  /// With the folder of results where the plan, which does not know it yet, has `resultsFolder`.
  fileprivate func naming(_ folder: String) -> Command {
    Command(program, arguments.map { $0 == resultsFolder ? folder : $0 })
  }
}
