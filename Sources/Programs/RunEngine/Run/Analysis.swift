import Aggregation
import FilterSupport
import Glibc
import SystemIO
import TensorStream

/// What a drop-in command is to do beside computing.
public struct RunOptions {
  /// The command's name and its arguments, as given.
  public var name: String
  public var arguments: [String]
  /// Leaves arrays, pictures and run.json in a new folder in `outputFolder`.
  public var saves = false
  public var outputFolder = "."
  /// Keeps streams there, and uses what is there.
  public var workFolder: String?
  public var jobs = 1
  public var threads: Int?
  public var quiet = false
  public var explains = false
  public var printsScript = false

  public init(name: String, arguments: [String]) { (self.name, self.arguments) = (name, arguments) }
}

/// One run of a drop-in command.
public struct Analysis {
  let survey: Survey
  let options: RunOptions
  let display: RunDisplay
  private let started = Int(time(nil))
  private let begun = monotonicSeconds()
  private var study: Study { survey.study }

  /// - Throws: `Refusal` that names all that is missing.
  public init(_ study: Study, _ asked: AskedLayers, _ options: RunOptions) throws {
    self.options = options
    display = RunDisplay(name: options.name, quiet: options.quiet)
    if let work = options.workFolder, work.contains("{") {
      throw Failure(.usage, "--work-dir: expected a path without braces, found '\(work)'")
    }
    survey = try Survey(study, asked, keeps: options.saves || options.workFolder != nil)
    survey.remarks.forEach(display.say)
    for (layer, why) in survey.missing { display.complain("layer \(layer): skipped: no autoencoder: \(why)") }
  }

  /// - Parameter device: finds out where the programs compute where that is left to them: the value of the flag, and what
  ///   tells its numbers from another's.
  /// - Throws: `RunEnd` where that has been said, else `Failure`.
  public func run(device: () throws -> (flag: String, identity: String)) throws {
    if options.printsScript { return try printScript(device) }
    if options.saves { try checkOutputFolder(options.outputFolder) }
    var (statistics, saved): ([Place: [AveragingMode: Statistics]], String?) = ([:], nil)
    do {
      // Whatever ends it, folders and files of this run are gone before the process is.
      defer { display.stop() }
      (statistics, saved) = try options.workFolder != nil || needsStreamFiles ? kept(device) : direct()
    }
    let lines = statistics.sorted { $0.key < $1.key }.map { PlaceSummary.text($0.key, $0.value) + "\n" }
    let output = OutputFile.standardOutput()
    try output.write(lines.joined())
    try output.finish()
    if let saved { display.say("wrote \(saved)") }
    guard !survey.missing.isEmpty else { return }
    let layers = LayerList(survey.missing.map(\.layer))
    throw Failure(.cannotOpen, "layers that were not analysed, because their autoencoders are missing: \(layers)")
  }

  /// Layers side by side take their activations as files.
  private var needsStreamFiles: Bool { study.isByLayer && options.jobs > 1 && study.layers.count > 1 }

  private typealias Outcome = (statistics: [Place: [AveragingMode: Statistics]], saved: String?)

  // MARK: - Without streams

  /// Everything through one pipe, nothing kept.
  private func direct() throws -> Outcome {
    // Of a run that leaves a record only; read while the programs work.
    let hashes = options.saves ? Background.start { [survey] in try survey.findings(device: "") } : nil
    let runner = try ProcessRunner()
    let results = options.saves ? try ResultsFolder(in: options.outputFolder) : nil
    let engine = Engine(runner, display, work: nil, results: results, threads: options.threads, quiet: options.quiet)
    let plan = Plan(direct: study, saves: options.saves)
    var record = newRecord
    try perform(
      plan.steps, title: "text to averages, layers \(LayerList(study.layers))", 1, of: 1, engine, &record)
    return (engine.statistics, try results.map { try save($0, plan, record, engine) { try hashes?.value() } })
  }

  // MARK: - With streams

  /// A stage at a time; the streams of each stay in the work folder.
  private func kept(_ device: () throws -> (flag: String, identity: String)) throws -> Outcome {
    let isTemporary = options.workFolder == nil
    let parent = options.saves ? options.outputFolder : getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
    let temporary = isTemporary ? try ResultsFolder(in: parent) : nil
    let work = try WorkFolder(options.workFolder ?? temporary!.scratch)
    work.sweep()
    defer { work.sweep() }
    let (study, findings) = try find(in: isTemporary ? nil : work, device)
    if isTemporary { display.say("the activations of \(study.layers.count) layers go to \(work.path) meanwhile") }
    let plan = Plan(study, findings, work: work.path)
    let runner = try ProcessRunner()
    let results = options.saves ? try temporary ?? ResultsFolder(in: options.outputFolder) : nil
    let engine = Engine(runner, display, work: work, results: results, threads: options.threads, quiet: options.quiet)
    if !isTemporary { try work.keep(plan) }
    let decisions = plan.decisions(work.states(of: plan), earlier: work.lastKeys)
    if options.explains { explain(plan, decisions) }
    var record = newRecord
    for (number, stage) in Plan.Stage.allCases.enumerated() {
      let steps = plan.steps(of: stage)
      let title = stage == .results ? "averages\(options.saves ? " and pictures" : "")" : stage.rawValue
      if stage == .results, !options.saves {
        try perform([steps[0].withoutFiles], title: title, number + 1, of: 5, engine, &record)
      } else {
        try perform(steps, title: title, number + 1, of: 5, engine, &record, decisions)
      }
    }
    return (engine.statistics, try results.map { try save($0, plan, record, engine) { findings } })
  }

  /// - Parameter work: where hashes are remembered.
  func find(
    in work: WorkFolder?, _ device: () throws -> (flag: String, identity: String)
  ) throws -> (Study, Findings) {
    var study = study
    let (flag, identity) = try device()
    study.device = flag
    let findings = try survey.findings(memory: work?.file("input-hashes"), device: identity) { count in
      display.begin(stage: "reading \(count) input files for their hashes", number: 0, of: 0, tasks: 1, weight: 1)
    }
    return (study, findings)
  }

  func explain(_ plan: Plan, _ decisions: [String: Decision]) {
    for step in plan.steps where step.stage != .results {
      switch decisions[step.name] {
      case .make(let why): display.complain("\(step.label): has to run: \(why)")
      case .isThere: display.complain("\(step.label): up to date: \(step.name)")
      case .isNotNeeded, nil: display.complain("\(step.label): missing, but no step that has to run needs it")
      }
    }
  }

  // MARK: - Stages

  private func perform(
    _ steps: [Plan.Step], title: String, _ number: Int, of count: Int, _ engine: Engine, _ record: inout RunRecord,
    _ decisions: [String: Decision]? = nil
  ) throws {
    let begun = monotonicSeconds()
    let toDo = steps.filter { decisions?[$0.name]?.isToBeMade ?? true }
    let tasks = RunTask.tasks(for: toDo)
    display.begin(
      stage: title, number: number, of: count, tasks: tasks.count, weight: tasks.map(\.weight).reduce(0, +))
    try engine.perform(tasks, jobs: options.jobs)
    let seconds = monotonicSeconds() - begun
    record.stages.append((title, seconds, toDo.isEmpty))
    let report =
      steps[0].stage == .results ? "" : ": \(stageReport(steps, decisions ?? [:], isByLayer: study.isByLayer))"
    display.say("[\(number)/\(count)] \(title)\(report) (\(decimal(seconds, 1)) s)")
  }

  var newRecord: RunRecord {
    var record = RunRecord()
    record.command = ([options.name] + options.arguments).map(shellQuoted).joined(separator: " ")
    record.started = started
    return record
  }

  // MARK: - What is left

  /// - Parameter findings: the hashes of what was read, as soon as they are there.
  private func save(
    _ results: ResultsFolder, _ plan: Plan, _ record: RunRecord, _ engine: Engine, _ findings: () throws -> Findings?
  ) throws -> String {
    var found = try findings()
    while found == nil {
      if case .interrupted(let signal) = try engine.runner.next(timeout: 0.1) {
        throw RunEnd(exitCode: 128 + signal, signal: signal)
      }
      found = try findings()
    }
    var record = record
    record.device = engine.device
    record.seconds = monotonicSeconds() - begun
    record.pipeline = plan.text(work: options.workFolder, threads: options.threads)
    let file = try OutputFile(path: "\(results.path)/run.json")
    try file.write(record.json(survey, found!))
    try file.finish()
    let saved = try results.publish(
      as: (0...600).lazy.map { "\(resultsName)_\(timeText(started + $0, "%Y%m%d_%H%M%S", isLocal: true))" })
    return shortened(saved)
  }

  /// As the PyTorch scripts name their folders, without the time at the end.
  var resultsName: String {
    "\(study.unit == .feature ? "" : "layer_activations_")model_\(study.model.replacing("/", with: "_"))"
      + "_num_samples_\(study.samples)_batch_size_\(study.batchSize)"
      + "_layers_\(survey.askedLayers[0])to\(survey.askedLayers.last!)"
  }

  /// Without what says nothing.
  func shortened(_ path: String) -> String { path.hasPrefix("./") ? String(path.dropFirst(2)) : path }

  private func printScript(_ device: () throws -> (flag: String, identity: String)) throws {
    var plan = Plan(direct: study, saves: options.saves)
    if let work = options.workFolder {
      let isThere = isFolder(work)
      let (study, findings) = try find(in: isThere ? try WorkFolder(work) : nil, device)
      plan = Plan(study, findings, work: work)
      if options.explains, isThere {
        let folder = try WorkFolder(work)
        explain(plan, plan.decisions(folder.states(of: plan), earlier: folder.lastKeys))
      }
      if !options.saves { plan.steps[plan.steps.count - 1] = plan.steps.last!.withoutFiles }
    }
    display.stop()
    let output = OutputFile.standardOutput()
    let folder = options.outputFolder == "." ? resultsName : "\(options.outputFolder)/\(resultsName)"
    let script = ShellScript(
      plan, work: options.workFolder, output: options.saves ? folder : nil, threads: options.threads)
    try output.write(script.text)
    try output.finish()
  }
}
