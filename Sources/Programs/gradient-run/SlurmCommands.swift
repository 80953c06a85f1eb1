import ArgumentParser
import FilterSupport
import RunEngine
import SystemIO

/// How an analysis is shared out among the machines of a cluster.
struct SlurmFlags: ParsableArguments {
  @Option(
    help: """
      Into how many parts the samples are divided. Each consists of whole batches, so there may be fewer.
      """)
  var shards = 8

  @Option(
    help: """
      Into how many groups the layers are divided. Each group of each shard is one element of a job array. (default: \
      one group per layer where every layer has a forward pass of its own, otherwise 1)
      """)
  var layerGroups: Int?

  @Flag(help: "Keep the gradients of every position, so that they can be averaged in other ways later.")
  var keepGradients = false

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "An option of sbatch for every job, such as --partition=long. May be given several times.", valueName: "option"))
  var sbatch: [String] = []

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      """
      An option of sbatch for the jobs that run the model, such as --cpus-per-task=8 or --gres=gpu:1. May be given \
      several times.
      """, valueName: "option"))
  var computeSbatch: [String] = []

  @Option(help: "How many elements of a job array may run at a time. (default: as many as Slurm has room for)")
  var maxRunning: Int?

  @Flag(
    help: """
      Only write the plan into the work folder and submit nothing. gradient-run step can then run its steps on any \
      machine.
      """)
  var prepare = false

  func validate() throws {
    for (flag, value, most) in [
      ("shards", shards, 1_000_000), ("layer-groups", layerGroups ?? 1, 10_000),
      ("max-running", maxRunning ?? 1, 1_000_000),
    ] where !(1...most).contains(value) {
      throw ValidationError("--\(flag): expected a number from 1 to \(most), found \(value)")
    }
  }

  func share(_ study: inout Study) {
    (study.shards, study.groups, study.keepsGradients) = (shards, layerGroups ?? 1, keepGradients)
  }

  var options: SlurmOptions {
    var options = SlurmOptions()
    (options.groups, options.mostRunning, options.onlyPrepares) = (layerGroups, maxRunning, prepare)
    (options.sbatch, options.computeSbatch) = (sbatch, computeSbatch)
    return options
  }
}

private let discussion = """
  The work folder, the programs, the model, the text and the current folder must be on file systems that all machines of \
  the cluster share. Results go to a new folder in --output-dir, whether --save-outputs is given or not. The same command \
  given again submits only what is missing. --dry-run prints the script that submits the jobs.
  """

struct SlurmCommand: Filter {
  static let configuration = CommandConfiguration(
    commandName: "slurm",
    abstract: "Submit an analysis to Slurm, as job arrays over parts of the samples.",
    discussion: discussion, version: packageVersion, subcommands: [SlurmFeatures.self, SlurmActivations.self])

  @OptionGroup(visibility: .hidden) var messages: MessageOptions

  func filter() throws { throw Failure(.usage, "slurm: expected features or activations, found none") }
}

struct SlurmFeatures: Filter {
  static let configuration = CommandConfiguration(
    commandName: "features", abstract: "Submit the analysis of SAE features.", discussion: discussion,
    version: packageVersion)

  @OptionGroup var options: AnalysisOptions
  @OptionGroup var features: FeatureOptions
  @OptionGroup var slurm: SlurmFlags
  @OptionGroup var messages: MessageOptions

  func filter() throws {
    try options.analyse(.feature, quiet: messages.quiet, slurm: slurm.options) { study in
      features.complete(&study)
      slurm.share(&study)
    }
  }
}

struct SlurmActivations: Filter {
  static let configuration = CommandConfiguration(
    commandName: "activations", abstract: "Submit the analysis of MLP outputs.", discussion: discussion,
    version: packageVersion)

  @OptionGroup var options: AnalysisOptions
  @OptionGroup var slurm: SlurmFlags
  @OptionGroup var messages: MessageOptions

  func filter() throws {
    try options.analyse(.activation, quiet: messages.quiet, slurm: slurm.options) { slurm.share(&$0) }
  }
}
