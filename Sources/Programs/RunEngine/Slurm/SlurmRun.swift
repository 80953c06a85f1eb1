import FilterSupport
import Glibc
import SystemIO

extension Analysis {
  /// Keeps the plan in the work folder and sends what is missing of it to Slurm: this process becomes the script that does.
  ///
  /// - Parameter device: as of `run`; where the jobs compute, which may be another machine.
  /// - Throws: `Failure` of kind cannotOpen where an autoencoder is missing, of kind unavailable without a shell.
  public func submit(_ slurm: SlurmOptions, device: () throws -> (flag: String, identity: String)) throws {
    guard let path = options.workFolder else {
      throw Failure(.usage, "--work-dir: expected a folder that all machines of the cluster share, found none")
    }
    guard survey.missing.isEmpty else {
      throw Failure(.cannotOpen, "autoencoders are missing: use --layers to choose layers that have one")
    }
    if !options.printsScript { try checkOutputFolder(options.outputFolder) }
    let work = options.printsScript && !isFolder(path) ? nil : try WorkFolder(path)
    let (study, findings) = try find(in: work, device)
    let plan = Plan(study, findings, work: path)
    let decisions = plan.decisions(work?.states(of: plan) ?? [:], earlier: work?.lastKeys ?? [:])
    if options.explains { explain(plan, decisions) }
    display.stop()
    let results = shortened("\(options.outputFolder)/\(resultsName)_\(plan.steps.last!.key.hash)")
    guard kindOfFile(at: results) == "nothing" else { return display.complain("everything is done: \(results)") }
    let script = try SubmissionScript(
      Submission(plan, decisions, groups: slurm.groups), slurm, directory: absolutePath("."), work: path,
      results: results, program: ProgramFolder.own.path(of: "gradient-run"), jobs: options.jobs,
      threads: options.threads)
    if options.printsScript {
      let output = OutputFile.standardOutput()
      try output.write(script.text)
      try output.finish()
      return
    }
    try work!.keep(plan, record: record(of: plan, findings))
    let count = plan.steps.count { decisions[$0.name]!.isToBeMade }
    display.say("\(count) of \(plan.steps.count) steps are to be done, the last one leaves \(results)")
    if slurm.onlyPrepares { return }
    let file = try OutputFile(path: "\(path)/submit")
    try file.write(script.text)
    try file.finish()
    try becomeProgram(["bash", fileArgument("\(path)/submit")])
  }

  /// What the results are to say of the run.
  private func record(of plan: Plan, _ findings: Findings) -> String {
    var record = newRecord
    record.device = findings.device
    record.pipeline = plan.text(work: options.workFolder, threads: options.threads)
    return record.json(survey, findings)
  }
}
