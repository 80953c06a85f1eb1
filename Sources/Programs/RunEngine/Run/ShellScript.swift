import SystemIO

/// A plan as a shell script that can be run as it is: with the programs on the PATH it leaves the same arrays.
public struct ShellScript {
  private let plan: Plan
  private let work: String?
  private let output: String?
  private let threads: Int?

  /// - Parameters:
  ///   - work: the folder of the streams; nil for a plan that keeps none.
  ///   - output: the folder of results without the time at its end; nil where nothing is left.
  public init(_ plan: Plan, work: String?, output: String?, threads: Int?) {
    (self.plan, self.work, self.output, self.threads) = (plan, work, output, threads)
  }

  public var text: String {
    var lines = ["#!/usr/bin/env bash", "set -euo pipefail", ""]
    if let work { lines += ["work=\(shellQuoted(fileArgument(work)))", "mkdir -p \"$work\""] }
    if let output {
      lines += ["results=\(shellQuoted(fileArgument(output)))_$(date +%Y%m%d_%H%M%S)", "mkdir -p \"$results\""]
    }
    for stage in Plan.Stage.allCases {
      let groups = plan.passes(of: stage)
      if !groups.isEmpty, work != nil { lines += ["", "# \(stage.rawValue)"] }
      for steps in groups { lines += stage == .results ? results(steps[0]) : streams(steps) }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  /// A stream that is there is whole: programs write each under another name first.
  private func streams(_ steps: [Plan.Step]) -> [String] {
    let paths = steps.map { word("\(work!)/\($0.name)") }
    let areThere = paths.map { "[ -e \($0) ]" }.joined(separator: " && ")
    if let joined = Plan.joined(steps, work: work!) {
      return ["\(areThere) ||", "  \(pipe([joined], reading: steps[0].input))"]
    }
    let commands = pipe(steps[0].pipes[0], reading: steps[0].input)
    return ["\(areThere) || {", "  \(commands) > \(paths[0]).new", "  mv \(paths[0]).new \(paths[0])", "}"]
  }

  private func results(_ step: Plan.Step) -> [String] {
    let averages = pipe(step.pipes[0], reading: step.input)
    guard output != nil else { return ["\(averages) > /dev/null"] }
    let stream = "\"$results\"/\(aggregatesName)"
    return ["\(averages) > \(stream)"] + step.pipes.dropFirst().map { "\(pipe($0)) < \(stream)" }
  }

  private func pipe(_ commands: [Command], reading input: String? = nil) -> String {
    var words = commands.map { command in
      ([command.program] + command.with(threads: threads).arguments).map(word).joined(separator: " ")
    }
    if let input { words[0] += " < \(word(fileArgument(input)))" }
    return words.joined(separator: " |\n    ")
  }

  private func word(_ argument: String) -> String {
    if argument == resultsFolder { return "\"$results\"" }
    for folder in [work, work.map(fileArgument)].compactMap({ $0 }) where argument.hasPrefix("\(folder)/") {
      return "\"$work\"/\(shellQuoted(String(argument.dropFirst(folder.count + 1))))"
    }
    return shellQuoted(argument)
  }
}
