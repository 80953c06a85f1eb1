import ArgumentParser
import FilterSupport
import RunEngine
import SystemIO

/// How an analysis is shared out among the machines of a cluster.
struct SlurmFlags: ParsableArguments {
  @Option(help: "Parts of the samples, each of whole batches; fewer where there are fewer batches.")
  var shards = 8

  @Option(
    help: """
      Parts of the layers, each an element for every shard. (default: one a layer of features, where each has a pass \
      of its own, else 1)
      """)
  var layerGroups: Int?

  @Flag(help: "Keep the gradients of every position, so that other averages of them can be made.")
  var keepGradients = false

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp("An option of sbatch for every job, such as --partition=long; repeatable.", valueName: "option"))
  var sbatch: [String] = []

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "The same for jobs that compute with the model, such as --cpus-per-task=8 or --gres=gpu:1.", valueName: "option"))
  var computeSbatch: [String] = []

  @Option(help: "Elements of an array that run at a time. (default: as many as there is room for)")
  var maxRunning: Int?

  @Flag(help: "Submit nothing: keep the plan, whose steps gradient-run step does on any machine.")
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
  The work folder, the programs, the model, the text and the current folder are on file systems that all machines share. \
  Results go to a new folder in --output-dir, with or without --save-outputs. The same line again submits what is \
  missing, and nothing else. --dry-run prints the script that submits.
  """

struct SlurmCommand: Filter {
  static let configuration = CommandConfiguration(
    commandName: "slurm", abstract: "Submit an analysis to Slurm: arrays of shards of samples, then one result.",
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
