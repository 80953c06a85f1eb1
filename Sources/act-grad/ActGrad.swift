import ArgumentParser
import ComputeSupport
import FilterSupport
import GradientPasses
import QwenModel
import SystemIO
import TensorOperations
import TensorStream

@main
struct ActGrad: Filter {
  static let configuration = CommandConfiguration(
    commandName: "act-grad",
    abstract: "Gradients of the next-token loss with respect to every layer's MLP output.",
    discussion: """
      Reads an activations stream, writes a gradients stream: grad.L, the gradient of the summed loss at layer L's MLP \
      output, for every real position. One forward and one backward pass serve all layers, and only the lowest layer \
      needs to be captured.

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt |
              qwen-capture --model demo/model --layers 0 |
              act-grad --model demo/model | grad-aggregate --save out > out.ts
      """,
    version: packageVersion)

  @Option(help: "The model that the activations were captured from: a folder or a hub id.", completion: .file())
  var model: String

  @Option(
    help: "Layers whose gradients to write. (default: all from the lowest captured one)", completion: .layers,
    transform: LayerList.asked)
  var layers = LayerList?.none

  @OptionGroup var compute: ComputeOptions
  @OptionGroup var messages: MessageOptions

  func filter() throws {
    let checkpoint = try Checkpoint(model)
    for warning in checkpoint.warnings { complain("warning: \(warning)") }
    let layerCount = checkpoint.configuration.layerCount
    let asked = try layers?.checked(layerCount: layerCount)
    let output = try StreamWriter.toStandardOutput()
    let operations = try compute.makeOperations(quiet: messages.quiet)
    let reader = StreamReader(.standardInput())
    var loaded: (start: Int, model: QwenModel)?

    while let segment = try reader.nextSegment(.activations) {
      try segment.check(identity: checkpoint.identity)
      let captured = try LayerList(segment).checked(layerCount: layerCount)
      let layers = asked ?? LayerList(captured.layers[0]..<layerCount)
      guard let start = captured.layers.last(where: { $0 <= layers.layers[0] }) else {
        throw Failure(
          .malformed, "expected layer \(layers.layers[0]) or one below it captured, found layers \(captured)")
      }
      if loaded?.start != start {
        loaded = (
          start,
          try QwenModel(
            checkpoint, layers: start + 1..<layerCount, includingHead: true, operations: operations)
        )
      }
      let own = checkpoint.identity.merging(["unit": "activation", "layers": layers.description]) { _, own in own }
        .merging(compute.provenance) { _, own in own }
      try output.begin(.gradients, provenance: Provenance.extending(segment.provenance, with: own))
      let pass = ActivationGradients(model: loaded!.model, start: start, layers: layers.layers)
      let finiteNumbers = FiniteNumbers(loaded!.model, isWaived: compute.allowNonfinite)
      let progress = Progress(unit: "samples", total: segment.count("samples"), quiet: messages.quiet)
      let groups = SampleGroupReader(
        reader, checkpoint.configuration, tensors: pass.neededTensors, passRows: pass.passRows)
      while let group = try groups.next() {
        let records = pass.records(group)
        try finiteNumbers.check(records, of: group)
        try output.write(records, of: group)
        progress.advance(group.tokens.sampleCount, tokens: group.tokens.tokenCount)
      }
      try output.end()
      progress.finish(", loss \(decimal(pass.loss / Double(max(pass.predictions, 1)), 4)) nats a token")
    }
    try output.finish()
    compute.reportMemory(operations, quiet: messages.quiet)
  }
}
