import ArgumentParser
import Decoders
import FilterSupport
import GradientPasses
import SystemIO
import TensorOperations
import TensorStream

@main
struct QwenCapture: Filter {
  static let takesFiles = false

  static let configuration = CommandConfiguration(
    commandName: "qwen-capture",
    abstract: "Run a language model's layers over tokens and write their activations.",
    discussion: """
      Reads a tokens stream and writes an activations stream. For each place, such as mlp_out.3, it contains the \
      activation (act.mlp_out.3) and the rest of the residual stream (rest.mlp_out.3), from which the later programs \
      run the remaining layers. Layers above the highest one that is asked for are not run. Despite its name it runs \
      all models that README.md lists.

      \(exampleFiles)

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt > tokens.ts
            qwen-capture --model demo/model --layers 0 < tokens.ts |
              act-grad --model demo/model > gradients.ts
            qwen-capture --model demo/model --split 'cap-{layer}.ts' < tokens.ts
      """,
    version: packageVersion)

  @Option(help: "The model: a folder, or a hub id that is looked up in the local cache.", completion: .file())
  var model: String

  @OptionGroup var placeOptions: PlaceOptions

  @Option(
    help: ArgumentHelp(
      "Write a file for each place instead of standard output. {layer} and {site} in the path are replaced.",
      valueName: "path"),
    completion: .file())
  var split: String?

  @Flag(
    help: """
      Also run the remaining layers and the output head, and write each sample's loss, so that sae-grad does not \
      have to compute it.
      """)
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
    checkpoint.warnings.forEach(warn)
    let layerCount = checkpoint.description.layerCount
    let places =
      try placeOptions.places(of: checkpoint.description)
      ?? PlaceList(sites: placeOptions.sites, layers: 0..<layerCount)
    let outputs = try outputs(places)
    let operations = try compute.makeOperations(messages)
    let reader = StreamReader(try .standardInput())
    let model = try DecoderModel(
      checkpoint, layers: 0..<(loss ? layerCount : places.places.last!.layer + 1), includingHead: loss,
      operations: operations)

    let capture = ActivationCapture(model: model, places: places, computesLoss: loss)
    let finiteNumbers = FiniteNumbers(model, isWaived: compute.allowNonfinite)

    while let segment = try reader.nextSegment(.tokens) {
      let progress = Progress(unit: "samples", total: segment.count("samples"), messages)
      for output in outputs {
        let own = checkpoint.identity.merging(compute.provenance) { $1 }
          .merging(["places": output.places.description]) { $1 }
        try output.writer.begin(.activations, provenance: Provenance.extending(segment.provenance, with: own))
      }
      let groups = SampleGroupReader(
        reader, checkpoint.description, passRows: capture.passRows, isAhead: operations.leavesProcessorFree)
      let written = WorkBehind(isThreaded: operations.leavesProcessorFree) {
        (records: [[OutputRecord]], members: [SampleGroup.Member]) in
        try Trace.span("write") {
          for (output, records) in zip(outputs, records) { try output.writer.write(records, of: members) }
        }
      }
      while let group = try groups.next() {
        try Trace.span("passes") { try capture.run(group) }
        let records = outputs.map { capture.records(group, places: $0.places) }
        try Trace.span("check") { for records in records { try finiteNumbers.check(records, of: group) } }
        try written.put((records, group.records))
        progress.advance(group.tokens.sampleCount, tokens: group.tokens.tokenCount)
      }
      try written.finish()
      for output in outputs { try output.writer.end() }
      progress.finish(lossReport(capture))
    }
    for output in outputs { try output.writer.finish() }
    try compute.finish(operations, messages)
  }

  /// Of all samples so far: the end of the closing line, and a fact.
  private func lossReport(_ capture: ActivationCapture) -> String {
    guard let sum = capture.loss else { return "" }
    let loss = sum / Double(max(capture.predictions, 1))
    FactWriter.write(.loss(natsPerToken: loss, predictions: capture.predictions))
    return ", loss \(decimal(loss, 4)) nats per prediction"
  }

  /// The streams to write and the places in each.
  private func outputs(_ places: PlaceList) throws -> [(writer: StreamWriter, places: PlaceList)] {
    guard let split else { return [(try .toStandardOutput(), places)] }
    try PlaceOptions.check("--split", split, for: places)
    let memory = MemoryLimit.ofTransit / places.places.count
    return try places.places.map { place in
      (StreamWriter(try OutputFile(path: place.substituted(in: split)), memory: memory), PlaceList([place]))
    }
  }
}
