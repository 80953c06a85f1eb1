import FilterSupport
import SystemIO

/// How jobs are sent to Slurm.
public struct SlurmOptions: Equatable, Sendable {
  /// Parts that a shard's layers are cut into, each a job's element; nil for as many as can be.
  public var groups: Int?
  /// Options of sbatch, for all jobs and for those that compute with the model.
  public var sbatch: [String] = []
  public var computeSbatch: [String] = []
  /// Elements of an array at a time.
  public var mostRunning: Int?
  /// Only keeps the plan, for whoever does its steps otherwise.
  public var onlyPrepares = false

  public init() {}
}

/// A submission as a shell script: it sends all jobs, or none.
public struct SubmissionScript {
  let submission: Submission
  let slurm: SlurmOptions
  /// The folder that paths begin in.
  let directory: String
  let work: String
  /// The folder of results.
  let results: String
  /// Where gradient-run is on all machines.
  let program: String
  let jobs: Int
  /// Nil for those that Slurm gives.
  let threads: Int?

  public init(
    _ submission: Submission, _ slurm: SlurmOptions, directory: String, work: String, results: String,
    program: String, jobs: Int = 1, threads: Int? = nil
  ) {
    (self.submission, self.slurm, self.directory, self.work) = (submission, slurm, directory, fileArgument(work))
    (self.results, self.program, self.jobs, self.threads) = (fileArgument(results), program, jobs, threads)
  }

  public var text: String {
    """
    #!/usr/bin/env bash
    # Sends to Slurm what is missing of a run: jobs whose elements do steps of its plan.
    set -euo pipefail
    cd \(shellQuoted(directory))
    mkdir -p \(shellQuoted(logs))

    fail() { echo "gradient-run: $2" >&2 && exit "$1"; }
    command -v sbatch > /dev/null || fail 69 "sbatch: not found: without Slurm, --prepare keeps the plan and step does it"
    queued=$(squeue --noheader --user="$(id -u)" --name=\(names) --format=%F) || fail 69 "Slurm does not answer"
    queued=$(sort -u <<< "$queued" | paste -sd' ')
    [[ -z $queued ]] || fail 64 "jobs of this run are in the queue; wait for them, or: scancel $queued"

    sent=()
    trap 'code=$?; ((code == 0 || ${#sent[@]} == 0)) || scancel "${sent[@]}"' EXIT
    # send STAGE OPTION… < SCRIPT
    send() {
      local stage=$1 job
      shift
      job=$(sbatch --parsable --requeue --open-mode=append --kill-on-invalid-dep=yes "$@") ||
        fail 74 "sbatch refuses the job of $stage: none of the run's jobs is in the queue"
      sent+=("${job%%;*}")
      echo "$stage: job ${sent[-1]}"
    }

    \(submission.jobs.map(sending).joined(separator: "\n"))
    """
  }

  private var logs: String { "\(work)/logs" }

  /// Of the jobs of this run, whatever it is called by.
  private func name(_ stage: Plan.Stage) -> String {
    let folder = absolutePath(work.hasPrefix("/") ? work : "\(directory)/\(work)")
    return "gf-\(stage.rawValue)-\(SHA256.of(folder).prefix(8))"
  }
  private var names: String { Plan.Stage.allCases.map(name).joined(separator: ",") }

  private func sending(_ job: Submission.Job) -> String {
    let log = "\(logs.replacing("%", with: "%%"))/\(job.stage.rawValue)-\(job.isArray ? "%A_%a" : "%j").log"
    var options = ["--job-name=\(name(job.stage))", "--chdir=\(directory)", "--output=\(log)"]
    if job.isArray {
      let most = slurm.mostRunning.map { "%\($0)" } ?? ""
      options.append("--array=\(LayerList(job.elements.map(\.number)))\(most)")
    }
    options += slurm.sbatch + (job.computes ? slurm.computeSbatch : [])
    var words = options.map(shellQuoted)
    switch job.wait {
    case .nothing: break
    case .all(let others): words.append("--dependency=\"afterok\(others.map { ":${sent[\($0)]}" }.joined())\"")
    case .sameElement(let other): words.append("--dependency=\"aftercorr:${sent[\(other)]}\"")
    }
    return "send \(job.stage.rawValue) \(words.joined(separator: " ")) << 'END OF JOB'\n\(script(job))END OF JOB\n"
  }

  /// What an element runs. Without control groups a process sees all CPUs of its machine: Slurm says which are its own.
  private func script(_ job: Submission.Job) -> String {
    let threads = threads.map { "\($0)" } ?? "\"${SLURM_CPUS_PER_TASK:-$SLURM_CPUS_ON_NODE}\""
    var step = [program, "step", "--work-dir", work, "--wait", "60"].map(shellQuoted) + ["--threads", threads]
    if jobs > 1, job.isArray { step += ["--jobs", "\(jobs)"] }
    if job.stage == .results { step += ["--output", shellQuoted(results)] }
    let sets = job.elements.map { "set -- \($0.steps.joined(separator: " "))" }
    let cases = zip(job.elements, sets).map { "\($0.number)) \($1) ;;\n" }.joined()
    return """
      #!/bin/sh
      \(job.isArray ? "case $SLURM_ARRAY_TASK_ID in\n\(cases)esac" : sets[0])
      exec \(step.joined(separator: " ")) "$@"

      """
  }
}
