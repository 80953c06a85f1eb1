import ArgumentParser
import ComputeSupport
import FilterSupport
import GradientPasses
import QwenModel
import SystemIO
import TensorOperations
import TensorStream

@main
struct QwenCapture: Filter {
  static let configuration = CommandConfiguration(
    commandName: "qwen-capture",
    abstract: "Run a Qwen2 model's layers over tokens and write their activations.",
    discussion: """
      Reads a tokens stream, writes an activations stream: for each layer the residual stream between attention and \
      MLP, resid_mid.L, and the MLP's output, mlp_out.L. Layers above the highest one asked for are not run.

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt > tokens.ts
            qwen-capture --model demo/model --layers 0 < tokens.ts |
              act-grad --model demo/model > gradients.ts
            qwen-capture --model demo/model --split 'cap-{layer}.ts' < tokens.ts
      """,
    version: packageVersion)

  @Option(help: "The model: a folder, or a hub id that is looked up in the local cache.", completion: .file())
  var model: String

  @Option(
    help: "Layers to capture: 0-23, 0,5,10, a mix or all. (default: all)", completion: .layers,
    transform: LayerList.asked)
  var layers = LayerList?.none

  @Option(
    help: ArgumentHelp("One file a layer instead of standard output; {layer} is its number.", valueName: "path"),
    completion: .file())
  var split: String?

  @Flag(help: "Also run all layers and the output head, and write each sample's loss: sae-grad then need not find it.")
  var loss = false

  @OptionGroup var compute: ComputeOptions
  @OptionGroup var messages: MessageOptions

  func validate() throws {
    if let split, !split.contains("{layer}") {
      throw ValidationError("--split: expected {layer} in the path, found '\(split)'")
    }
  }

  func filter() throws {
    let checkpoint = try Checkpoint(model)
    for warning in checkpoint.warnings { complain("warning: \(warning)") }
    let layerCount = checkpoint.configuration.layerCount
    let layers = try (layers ?? LayerList(0..<layerCount)).checked(layerCount: layerCount).layers
    let outputs = try outputs(layers)
    let operations = try compute.makeOperations(quiet: messages.quiet)
    let reader = StreamReader(.standardInput())
    let model = try QwenModel(
      checkpoint, layers: 0..<(loss ? layerCount : layers.last! + 1), includingHead: loss,
      operations: operations)

    let capture = ActivationCapture(model: model, layers: layers, computesLoss: loss)
    let finiteNumbers = FiniteNumbers(model, isWaived: compute.allowNonfinite)

    while let segment = try reader.nextSegment(.tokens) {
      let progress = Progress(unit: "samples", total: segment.count("samples"), quiet: messages.quiet)
      for output in outputs {
        let own = checkpoint.identity.merging(["layers": LayerList(output.layers).description]) { _, own in own }
          .merging(compute.provenance) { _, own in own }
        try output.writer.begin(.activations, provenance: Provenance.extending(segment.provenance, with: own))
      }
      let groups = SampleGroupReader(reader, checkpoint.configuration, passRows: capture.passRows)
      while let group = try groups.next() {
        try capture.run(group)
        for output in outputs {
          let records = group.members.map { capture.record(of: $0, in: group, layers: output.layers) }
          try finiteNumbers.check(records, of: group)
          try output.writer.write(records, of: group)
        }
        progress.advance(group.tokens.sampleCount, tokens: group.tokens.tokenCount)
      }
      for output in outputs { try output.writer.end() }
      progress.finish()
    }
    for output in outputs { try output.writer.finish() }
    compute.reportMemory(operations, quiet: messages.quiet)
  }

  /// The streams to write and the layers in each.
  private func outputs(_ layers: [Int]) throws -> [(writer: StreamWriter, layers: [Int])] {
    guard let split else { return [(try .toStandardOutput(), layers)] }
    return try layers.map { layer in
      let path = split.split(separator: "{layer}", omittingEmptySubsequences: false).joined(separator: "\(layer)")
      return (StreamWriter(try OutputFile(path: path)), [layer])
    }
  }
}
