import ArgumentParser
import FilterSupport
import RunEngine
import SystemIO

private let scale = """
  Gradients are those of the summed loss divided by batch_size × (max_length - 1), the predictions of a batch of padded \
  samples: the PyTorch scripts' scale. They are averaged over all recorded positions alike, so that it does not matter \
  how samples fall into batches. Flags may be spelled with _ or -.
  """

private func configuration(_ name: String, _ dropInName: String, of what: String) -> CommandConfiguration {
  let called = programName == dropInName ? dropInName : "gradient-run \(name)"
  return CommandConfiguration(
    commandName: programName == dropInName ? dropInName : name,
    abstract: "Averaged gradients of a language model's loss on WikiText with respect to its \(what), a layer each.",
    discussion: """
      \(scale)

      A run with --work-dir that was interrupted goes on where it was when the same line is given again.

      e.g.  \(called) --model_name demo/model --layers all \\
              --text demo/sample.txt --num_samples 12 --save_outputs
            \(called) --model_name demo/model --layers 0,2 \\
              --text demo/sample.txt --aggregation_mode both --work-dir work

      Exit codes: 0 done; 64 usage; 65 malformed input; 66 cannot open, or a layer's autoencoder is missing; 69 no such \
      device; 74 a read or write failed; else that of the program that failed.
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
      The autoencoders, {layer} being the layer's number: folders, files or a hub id. (default: what lies at \
      */mlp_out_layer_{layer}/trainer_0 below this folder)
      """, completion: .file())
  var sae: String?

  @Option(help: "Take every n-th position of a sample.") var stride = 4

  @Flag(help: "Add what the autoencoder misses back as a constant: one pass for all layers.") var useErrorTerm = false

  @Flag(help: "Go on with autoencoders that were made for another layer or place.") var ignoreSaePlace = false

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
