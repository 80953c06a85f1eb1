import ArgumentParser
import FilterSupport
import RunEngine
import SystemIO

/// Called by the name of a drop-in command, as `pipelines/` does, it is that command and nothing else.
@main
struct GradientRun: Filter {
  static let configuration = CommandConfiguration(
    commandName: "gradient-run",
    abstract: "Run a whole analysis with the other programs, or continue one that was interrupted.",
    discussion: """
      sae-gradient-analysis runs its command features, and layer-gradient-analysis its command activations.

      \(exampleFiles)

      e.g.  gradient-run activations --model-name demo/model --layers all \\
              --text demo/sample.txt --work-dir work
            gradient-run status --work-dir work
      """,
    version: packageVersion,
    subcommands: [
      FeatureAnalysis.self, ActivationAnalysis.self, SlurmCommand.self, StepCommand.self, StatusCommand.self,
    ])

  @OptionGroup(visibility: .hidden) var messages: MessageOptions

  func filter() throws { throw Failure(.usage, "expected a command such as features, found none") }

  static func main() {
    let arguments = Array(CommandLine.arguments.dropFirst())
    switch programName {
    case FeatureAnalysis.dropInName: FeatureAnalysis.run(Array(arguments.dropFirst()))
    case ActivationAnalysis.dropInName: ActivationAnalysis.run(Array(arguments.dropFirst()))
    default: run(arguments)
    }
  }
}

struct StepCommand: Filter {
  static let configuration = CommandConfiguration(
    commandName: "step", abstract: "Run single steps of a planned run.",
    version: packageVersion)

  @Option(help: "The work folder of the run.", completion: .directory) var workDir: String
  @Option(
    help: "Where a step that makes results puts them. (default: the folder results in the work folder)",
    completion: .directory)
  var output: String?
  @Option(
    name: [.long, .customShort("P", allowingJoined: true)],
    help: """
      How many steps to run at a time. They share the threads.
      """)
  var jobs = 1
  @Option(help: "How many threads to compute with. (default: the number of cores that this process may use)")
  var threads: Int?
  @Option(
    help: """
      How many seconds to wait until the inputs of the steps are visible, which another machine may just have written.
      """) var wait = 0
  @OptionGroup var messages: MessageOptions
  @Argument(
    help: """
      The steps to run: their keys or labels, as gradient-run status lists them, or the names of the streams that they \
      write.
      """)
  var keys: [String]

  func validate() throws {
    guard (1...1024).contains(jobs), (1...1024).contains(threads ?? 1) else {
      throw ValidationError("--jobs, --threads: expected a number from 1 to 1024")
    }
    guard (0...86_400).contains(wait) else {
      throw ValidationError("--wait: expected a number from 0 to 86400, found \(wait)")
    }
  }

  func filter() throws {
    try endingAsSaid {
      try SingleSteps(in: workDir).perform(
        keys, output: output, wait: Double(wait), jobs: jobs, threads: threads, quiet: messages.quiet)
    }
  }
}

struct StatusCommand: Filter {
  static let configuration = CommandConfiguration(
    commandName: "status", abstract: "List the steps of the last run in a work folder, and which are done.",
    version: packageVersion)

  @Option(help: "The work folder of the run.", completion: .directory) var workDir: String
  @OptionGroup(visibility: .hidden) var messages: MessageOptions

  func filter() throws {
    let output = OutputFile.standardOutput()
    try output.write(try SingleSteps(in: workDir).status)
    try output.finish()
  }
}
