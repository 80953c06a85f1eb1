import ArgumentParser
import FilterSupport
import Glibc
import RunEngine
import SystemIO

/// The flags that both drop-in commands have: those of the PyTorch scripts, and more.
struct AnalysisOptions: ParsableArguments {
  enum Mode: String, ExpressibleByArgument, CaseIterable {
    case absolute = "mean_abs"
    case mean, both
  }

  @Option(help: "The model: a hub id that is looked up in the local cache, or a folder.", completion: .file())
  var modelName = "Qwen/Qwen2.5-0.5B"

  @Option(help: "Samples of the text.") var numSamples = 500
  @Option(help: "Samples a batch.") var batchSize = 4
  @Option(help: "Cut samples to this many tokens.") var maxLength = 128

  @Option(
    help: "Layers, such as 0-23, 0,5,10, a mix of both, or all. (default: 0-23)", completion: .layers,
    transform: { try LayerList.asked($0).map { .listed($0.layers) } ?? .all })
  var layers: AskedLayers?

  @Option(help: "Average absolute gradients, signed ones, or both.") var aggregationMode = Mode.absolute

  @Flag(
    help: """
      Save arrays, pictures, run.json and aggregates.ts in a new folder. Otherwise only statistics are printed.
      """)
  var saveOutputs = false

  @Option(
    help: "The text. Each line of more than 50 characters is a sample. (default: \(defaultText))", completion: .file())
  var text: String?

  @Flag(help: "Pad samples and average over batches as the PyTorch scripts do, to get the same numbers as they.")
  var matchPython = false

  @Option(help: "Where to create the new folder.", completion: .directory) var outputDir = "."

  @Option(
    help: "Keep tokens, activations, gradients and sums in this folder, and reuse those of earlier runs.",
    completion: .directory)
  var workDir: String?

  @Option(
    name: [.long, .customShort("P", allowingJoined: true)],
    help: """
      How many layers to compute at a time. They share the threads.
      """)
  var jobs = 1

  @Flag(
    help: """
      For each step, say whether and why it has to run, by what differs from the last run in the work folder.
      """)
  var explain = false

  @Flag(help: "Only print a shell script that computes the same arrays.")
  var dryRun = false

  @OptionGroup var compute: ComputeOptions
  @OptionGroup var arithmetic: ArithmeticOptions

  func validate() throws {
    for (flag, value, most) in [
      ("num-samples", numSamples, 999_999_999), ("batch-size", batchSize, 999_999_999),
      ("max-length", maxLength, 999_999_999), ("jobs", jobs, 1024),
    ] where !(1...most).contains(value) {
      throw ValidationError("--\(flag): expected a number from 1 to \(most), found \(value)")
    }
    if explain, workDir == nil {
      throw ValidationError("--explain: requires --work-dir, without which every step has to run")
    }
  }

  /// Where `pipelines/fetch` puts WikiText-2's raw training split.
  static var defaultText: String {
    let folder = getenv("GRADIENT_FILTERS_DATA") ?? nil
    let home = getenv("HOME").map { String(cString: $0) } ?? ""
    return "\(folder.map { String(cString: $0) } ?? "\(home)/.cache/gradient-filters")/wikitext-2-raw/wiki.train.raw"
  }

  /// - Parameters:
  ///   - slurm: how the run is sent to a cluster; nil runs it here.
  ///   - own: adds what the unit alone has.
  func analyse(
    _ unit: Study.Unit, quiet: Bool, slurm: SlurmOptions? = nil, _ own: (inout Study) -> Void = { _ in }
  ) throws {
    let compute = try arithmetic.devices(compute)
    var study = Study(unit, model: modelName, texts: [text ?? Self.defaultText], layers: [])
    (study.samples, study.batchSize) = (numSamples, batchSize)
    study.tokenFlags = ["--max-length", "\(maxLength)"] + (matchPython ? ["--padding", "max-length"] : [])
    // The scripts' scale, but every position counts the same whatever batch it is in; else their averages themselves.
    let averages = matchPython ? ("batch", "batch") : ("padded", "position")
    study.averageFlags = [
      "--mode", aggregationMode.rawValue, "--loss-reduction", averages.0, "--weighting", averages.1,
    ]
    (study.device, study.precision) = (compute.device.flag, compute.precision.rawValue)
    study.arithmetic = arithmetic.arithmetic.rawValue
    study.allowsNonfinite = compute.allowNonfinite
    own(&study)
    if unit == .feature, matchPython { study.featureFlags += ["--stride-scope", "batch"] }
    let given = Array(CommandLine.arguments.dropFirst())
    var options = RunOptions(
      name: programName, arguments: programName == "gradient-run" ? given : Array(given.dropFirst()))
    (options.saves, options.outputFolder, options.workFolder) = (saveOutputs, trimmed(outputDir), workDir.map(trimmed))
    (options.jobs, options.threads, options.quiet) = (jobs, compute.threads, quiet)
    (options.explains, options.printsScript) = (explain, dryRun)
    try endingAsSaid {
      let analysis = try Analysis(study, layers ?? .scripts, options)
      if let slurm {
        try analysis.submit(slurm) { try compute.deviceElsewhere() }
      } else {
        try analysis.run { try compute.resolvedDevice() }
      }
    }
  }

  private func trimmed(_ path: String) -> String {
    var path = path[...]
    while path.count > 1, path.hasSuffix("/") { path.removeLast() }
    return fileArgument(String(path))
  }
}

/// Runs `body`, and ends the process as a run does that has said why itself.
func endingAsSaid(_ body: () throws -> Void) throws {
  do { try body() } catch let end as RunEnd {
    if let signal = end.signal { raise(signal) }
    Glibc.exit(end.exitCode)
  } catch let refusal as Refusal {
    for failure in refusal.failures.dropLast() { complain(failure.description) }
    throw refusal.failures.last!
  }
}
