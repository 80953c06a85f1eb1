import ArgumentParser
import FilterSupport
import RunEngine
import SystemIO

private let scale = """
  Gradients have the scale of the PyTorch scripts: they are those of the summed loss divided by batch_size × \
  (max_length - 1), the number of predictions in a batch of padded samples. Every recorded position counts equally in \
  the averages, so they do not depend on how samples are divided into batches. Flags may be spelled with _ or -.
  """

private func configuration(_ name: String, _ dropInName: String, of what: String) -> CommandConfiguration {
  let called = programName == dropInName ? dropInName : "gradient-run \(name)"
  return CommandConfiguration(
    commandName: programName == dropInName ? dropInName : name,
    abstract: """
      Average the gradients of a language model's loss on WikiText with respect to its \(what), layer by layer.
      """,
    discussion: """
      \(scale)

      A run with --work-dir that was interrupted continues when the same command is given again.

      \(exampleFiles)

      e.g.  \(called) --model_name demo/model --layers all \\
              --text demo/sample.txt --num_samples 12 --save_outputs
            \(called) --model_name demo/model --layers 0,2 \\
              --text demo/sample.txt --aggregation_mode both --work-dir work

      Exit codes: 0 success; 64 wrong usage; 65 malformed input; 66 a file cannot be opened, or a layer has no \
      autoencoder; 69 the device is not available; 74 reading or writing failed; otherwise the exit code of the program \
      that failed.
      """,
    version: packageVersion)
}

struct FeatureAnalysis: Filter {
  static let dropInName = "sae-gradient-analysis"
  static let configuration = gradient_run.configuration("features", dropInName, of: "SAE features")

  @OptionGroup var options: AnalysisOptions
  @OptionGroup var features: FeatureOptions
  @OptionGroup var messages: MessageOptions

  func filter() throws {
    try options.analyse(.feature, quiet: messages.quiet) { features.complete(&$0) }
  }
}

/// What the analysis of features has beside the flags of both.
struct FeatureOptions: ParsableArguments {
  @Option(
    help: """
      The autoencoders: folders, files or a hub id, in which {layer} is replaced by each layer. (default: those at \
      */mlp_out_layer_{layer}/trainer_0 in the current folder)
      """, completion: .file())
  var sae: String?

  @Option(help: "Use every n-th position of each sample.") var stride = 4

  @Flag(
    help: """
      Add the SAE error term back as a constant, so that one forward and one backward pass serve all layers.
      """) var useErrorTerm = false

  @Flag(help: "Use autoencoders even if their own files say that they were trained at another site or layer.")
  var ignoreSaePlace = false

  func validate() throws {
    guard (1...999_999_999).contains(stride) else {
      throw ValidationError("--stride: expected a number of at least 1, found \(stride)")
    }
  }

  func complete(_ study: inout Study) {
    study.autoencoders = sae ?? ""
    study.featureFlags = ["--stride", "\(stride)"]
    study.featureWaivers = ignoreSaePlace ? ["--ignore-sae-place"] : []
    study.usesErrorTerm = useErrorTerm
  }
}

struct ActivationAnalysis: Filter {
  static let dropInName = "layer-gradient-analysis"
  static let configuration = gradient_run.configuration("activations", dropInName, of: "MLP outputs")

  @OptionGroup var options: AnalysisOptions
  @OptionGroup var messages: MessageOptions

  func filter() throws { try options.analyse(.activation, quiet: messages.quiet) }
}
