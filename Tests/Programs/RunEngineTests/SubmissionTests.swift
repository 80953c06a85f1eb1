import RunEngine
import SystemIO
import TestSupport
import Testing

/// What goes to Slurm, in which order, and what waits for what; nothing is sent.
struct SubmissionTests {
  private func plan(_ unit: Study.Unit = .feature, groups: Int = 1, _ change: (inout Study) -> Void = { _ in }) -> Plan
  {
    var study = fakeStudy(unit)
    (study.samples, study.shards, study.groups, study.keepsGradients) = (12, 3, groups, false)
    change(&study)
    return Plan(study, fakeFindings(), work: "work")
  }

  /// - Parameter isThere: of which steps there are streams.
  private func submission(_ plan: Plan, groups: Int? = nil, _ isThere: (Plan.Step) -> Bool = { _ in false })
    -> Submission
  {
    let states = plan.steps.map { ($0.name, isThere($0) ? StreamState.complete : .absent) }
    return Submission(plan, plan.decisions(Dictionary(states) { $1 }, earlier: [:]), groups: groups)
  }

  /// "sums 0:2,1:2 after each 1": elements with the number of their steps.
  private func outline(_ submission: Submission) -> [String] {
    submission.jobs.map { job in
      let elements = job.elements.map { "\($0.number):\($0.steps.count)" }.joined(separator: ",")
      switch job.wait {
      case .nothing: return "\(job.stage) \(elements)"
      case .all(let others): return "\(job.stage) \(elements) after \(others)"
      case .sameElement(let other): return "\(job.stage) \(elements) after each \(other)"
      }
    }
  }

  @Test func everyLayerIsAnArrayOfShards() {
    #expect(
      outline(submission(plan())) == [
        "tokens 0:3", "activations 0:4,1:4,2:4 after [0]", "sums 0:1,1:1,2:1 after each 1",
        "sums 0:1,1:1,2:1 after each 1",
        "sums 0:1,1:1,2:1 after each 1", "sums 0:1,1:1,2:1 after each 1", "results 0:1 after [2, 3, 4, 5]",
      ])
  }

  @Test(arguments: [
    (1, ["0:4,1:4,2:4"]), (2, ["0:2,1:2,2:2", "0:2,1:2,2:2"]), (9, .init(repeating: "0:1,1:1,2:1", count: 4)),
  ])
  func layersThatAreMadeApartAreGrouped(groups: Int, elements: [String]) {
    let jobs = submission(plan(), groups: groups).jobs.filter { $0.stage == .sums }
    #expect(jobs.map { $0.elements.map { "\($0.number):\($0.steps.count)" }.joined(separator: ",") } == elements)
    let steps = jobs.flatMap(\.elements).flatMap(\.steps)
    #expect(Set(steps).count == 12 && steps.count == 12)
  }

  @Test func groupsThatOnePassServes() {
    let jobs = outline(submission(plan(.activation, groups: 2), groups: 2))
    #expect(
      jobs[1...].elementsEqual([
        "activations 0:2,1:2,2:2 after [0]", "sums 0:1,1:1,2:1 after each 1", "sums 0:1,1:1,2:1 after each 1",
        "results 0:1 after [2, 3]",
      ]))
  }

  @Test func gradientsThatAreKeptAreMadeBeforeTheirSums() {
    let jobs = submission(plan { $0.keepsGradients = true }, groups: 1).jobs
    let steps = jobs[2].elements[0].steps
    #expect(steps.map { $0.hasPrefix("gradients-") } == [true, true, true, true, false, false, false, false])
  }

  /// An element was killed in each stage: what it was to make is sent again, and what waited for that.
  @Test func whatIsMissingIsSentAgainAndNothingElse() throws {
    let plan = plan()
    let isThere = { (step: Plan.Step) in
      switch step.stage {
      case .tokens: true
      case .activations: !step.label.contains("shard-1")
      case .gradients, .sums: !step.label.contains("shard-1") && step.label != "sums-sae-grad-shard-2-layer-3"
      case .results: false
      }
    }
    let again = submission(plan, groups: 2, isThere)
    #expect(
      outline(again) == [
        "activations 1:4", "sums 1:2 after each 0", "sums 2:1", "sums 1:2 after each 0", "results 0:1 after [1, 2, 3]",
      ])
    #expect(
      again.jobs[2].elements[0].steps == plan.steps.filter { $0.label == "sums-sae-grad-shard-2-layer-3" }.map(\.name))
    // Activations that nothing waits for any more are not made again.
    #expect(outline(submission(plan) { $0.stage == .sums }) == ["results 0:1"])
  }

  // MARK: - The script

  private func script(_ submission: Submission, _ change: (inout SlurmOptions) -> Void = { _ in }) -> String {
    var slurm = SlurmOptions()
    change(&slurm)
    return SubmissionScript(
      submission, slurm, directory: "/a folder", work: "-w", results: "out/results", program: "/bin/gradient-run",
      threads: 3
    ).text
  }

  @Test func optionsReachTheirJobs() throws {
    let text = script(submission(plan())) {
      ($0.sbatch, $0.computeSbatch, $0.mostRunning) = (["--partition=a b"], ["--gres=gpu:1"], 7)
    }
    let sent = text.split(separator: "\n").filter { $0.hasPrefix("send ") }
    #expect(
      sent.count == 7 && sent.allSatisfy { $0.contains(" '--partition=a b' ") && $0.contains(" '--chdir=/a folder' ") })
    #expect(sent.map { $0.contains(" --gres=gpu:1 ") } == [false, true, true, true, true, true, false])
    #expect(sent.map { $0.contains(" --array=0-2%7 ") } == [false, true, true, true, true, true, false])
    #expect(text.contains(" step --work-dir ./-w --wait 60 --threads 3 \"$@\"\n"))
  }

  /// Run with a stand-in for Slurm: who waits for whom, and that all is sent or nothing.
  @Test(arguments: [nil, "sums"]) func theScriptSendsAllOrNothing(refused: String?) throws {
    let folder = try TemporaryFolder()
    let text = script(submission(plan(.activation))).replacing("'/a folder'", with: "'\(folder.path)'")
    let outcome = try Program.shell(
      """
      cd '\(folder.path)' && mkdir bin && PATH=$PWD/bin:$PATH
      cat > bin/sbatch << 'END'
      #!/bin/bash
      case $* in *gf-\(refused ?? "none")-*) echo "sbatch: error" >&2; exit 1 ;; esac
      number=$(($(ls job-* 2> /dev/null | wc -l) + 1))
      { echo "$@"; cat; } > job-$number; echo "$number;cluster"
      END
      echo 'cat queue 2> /dev/null; true' > bin/squeue; echo 'echo "$@" > cancelled' > bin/scancel; chmod +x bin/*
      bash -c \(shellQuoted(text)) || code=$?
      for file in job-*; do head -n 1 $file | grep -o 'dependency=.*'; done; cat cancelled; exit ${code:-0}
      """)
    #expect(outcome.status == (refused == nil ? 0 : 74), "\(outcome.errors)")
    let lines = outcome.text.split(separator: "\n").map(String.init)
    if refused == nil {
      #expect(
        lines == [
          "tokens: job 1", "activations: job 2", "sums: job 3", "results: job 4", "dependency=afterok:1",
          "dependency=aftercorr:2", "dependency=afterok:3",
        ])
    } else {
      #expect(lines == ["tokens: job 1", "activations: job 2", "dependency=afterok:1", "1 2"])
      #expect(outcome.errors.contains("gradient-run: sbatch refuses the job of sums: "))
    }
    let queued = try Program.shell(
      "cd '\(folder.path)' && PATH=$PWD/bin:$PATH && printf '7\\n7\\n9\\n' > queue && bash -c \(shellQuoted(text))")
    #expect(queued.status == 64 && queued.errors.hasSuffix("or: scancel 7 9\n"), "\(queued.errors)")
  }
}
