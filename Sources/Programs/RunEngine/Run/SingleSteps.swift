import Aggregation
import FilterSupport
import Glibc
import SystemIO

/// The steps of plans that a work folder keeps, done one by one, and what there is of them.
public struct SingleSteps {
  private let work: WorkFolder
  private let plans: [Plan]

  /// - Throws: `Failure` of kind cannotOpen where no run was planned there.
  public init(in path: String) throws {
    guard isFolder(path) else {
      throw Failure(
        .cannotOpen, "\(path): cannot open: expected the work folder of a run, found \(kindOfFile(at: path))")
    }
    work = try WorkFolder(path)
    plans = try work.keptPlans()
    guard !plans.isEmpty else { throw Failure(.cannotOpen, "\(path): no run was planned there") }
  }

  /// What there is of the last run's plan, a line a stage: "gradients: 3 of 4".
  public var status: String {
    let plan = plans[0]
    let states = work.states(of: plan)
    return Plan.Stage.allCases.map { stage in
      let steps = plan.steps(of: stage)
      let missing = steps.filter { states[$0.name] != .complete }
      let keys = missing.map { "\n  \($0.label) \($0.key.hash)" }.joined()
      // Results are every run's own, outside of the folder.
      let count = stage == .results ? "" : ": \(steps.count - missing.count) of \(steps.count)"
      return "\(stage.rawValue)\(count)\(keys)\n"
    }.joined()
  }

  /// Makes what is not there of these steps, and of nothing else.
  ///
  /// - Parameters:
  ///   - keys: their keys, their labels, or the names of what they make.
  ///   - output: the folder of results, which there must not be yet.
  ///   - seconds: how long to wait for what is needed: a network file system may show late what another machine has made.
  /// - Throws: `Failure` of kind usage where no plan has such a step, of kind cannotOpen where something that it needs is
  ///   not there; `RunEnd` where a program failed.
  public func perform(
    _ keys: [String], output: String?, wait seconds: Double = 0, jobs: Int, threads: Int?, quiet: Bool
  ) throws {
    let steps = try keys.flatMap { key in
      let steps = plans.lazy.map { $0.steps.filter { [$0.key.hash, $0.name, $0.label].contains(key) } }
        .first { !$0.isEmpty }
      guard let steps else { throw Failure(.usage, "\(key): no plan in \(work.path) has such a step") }
      return steps
    }
    let toDo = steps.filter { $0.stage == .results || work.state(of: $0.name) != .complete }
    let path = output ?? work.file("results")
    if toDo.contains(where: { $0.stage == .results }), kindOfFile(at: path) != "nothing" {
      throw Failure(
        .usage,
        "\(path): expected nothing of that name, found \(kindOfFile(at: path)): it may hold another run's results")
    }
    try awaitInputs(of: toDo, until: monotonicSeconds() + seconds)
    let display = RunDisplay(name: programName, quiet: quiet)
    defer { display.stop() }
    let runner = try ProcessRunner()
    for stage in Plan.Stage.allCases {
      let steps = toDo.filter { $0.stage == stage }
      guard !steps.isEmpty else { continue }
      let results = stage == .results ? try ResultsFolder(in: folder(of: path)) : nil
      let engine = Engine(runner, display, work: work, results: results, threads: threads, quiet: quiet)
      let tasks = RunTask.tasks(for: steps)
      display.begin(
        stage: stage.rawValue, number: 1, of: 1, tasks: tasks.count, weight: tasks.map(\.weight).reduce(0, +))
      try engine.perform(tasks, jobs: jobs)
      guard let results else { continue }
      if let record = try plans.first(where: { $0.steps.contains(steps[0]) }).flatMap(work.record) {
        let file = try OutputFile(path: "\(results.path)/run.json")
        try file.write(record)
        try file.finish()
      }
      // Nothing else of the run is left to be made: what steps that were killed have left can go.
      work.sweep()
      _ = try results.publish(as: [String(path.split(separator: "/").last ?? "results")])
      let lines = engine.statistics.sorted { $0.key < $1.key }.map { PlaceSummary.text($0.key, $0.value) + "\n" }
      let out = OutputFile.standardOutput()
      try out.write(lines.joined())
      try out.finish()
    }
  }

  private func awaitInputs(of steps: [Plan.Step], until end: Double) throws {
    let own = Set(steps.map(\.name))
    for name in steps.flatMap(\.after) where !own.contains(name) {
      while work.state(of: name) != .complete {
        guard monotonicSeconds() < end else {
          throw Failure(.cannotOpen, "\(work.file(name)): cannot open: it is not there, or not complete")
        }
        usleep(500_000)
      }
    }
  }
}
