import Decoders
import GradientPasses
import SystemIO
import TensorOperations
import TensorStream
import TestSupport

/// A stream of one segment in a file.
protocol StoredStream {
  var kind: StreamKind { get }
  var path: String { get }
}

extension StoredStream {
  /// Shows every data record, valid during the call.
  func forEachRecord(_ body: (Record) throws -> Void) throws {
    let reader = StreamReader(try InputFile(path: path))
    while try reader.nextSegment(kind) != nil {
      while let record = try reader.nextRecord() { try body(record) }
    }
  }

  /// Shows every group of samples, valid during the call.
  func forEachGroup(
    _ description: DecoderDescription, _ places: [Place], passRows: Int = 1024,
    _ body: (SampleGroup) throws -> Void
  ) throws {
    let reader = StreamReader(try InputFile(path: path))
    while try reader.nextSegment(kind) != nil {
      let groups = SampleGroupReader(reader, description, places: places, passRows: passRows)
      while let group = try groups.next() { try body(group) }
    }
  }

  /// The bytes of every record's tensors.
  func tensors() throws -> [[String: [UInt8]]] {
    var records: [[String: [UInt8]]] = []
    try forEachRecord { record in
      records.append(
        Dictionary(uniqueKeysWithValues: record.header.tensors.map { ($0.name, Array(record.bytes(of: $0))) }))
    }
    return records
  }
}

/// What wt-tokenize writes for a golden file's batches.
final class TokensStream: StoredStream {
  let kind = StreamKind.tokens
  private let folder: TemporaryFolder
  var path: String { folder.file("tokens.ts") }

  convenience init(_ golden: GoldenFile, _ run: String) throws { try self.init(golden.batches(run)) }

  init(_ batches: [TokenBatch]) throws {
    folder = try TemporaryFolder()
    let writer = StreamWriter(try OutputFile(path: path))
    try writer.begin(.tokens, provenance: [:])
    for (number, tokens) in batches.enumerated() {
      var record = OutputRecord()
      tokens.add(to: &record)
      try writer.write(record, batch: number)
    }
    try writer.end()
    try writer.finish()
  }
}

/// What qwen-capture writes for a golden file's batches.
final class ActivationsStream: StoredStream {
  let kind = StreamKind.activations
  private let folder: TemporaryFolder
  var path: String { folder.file("activations.ts") }

  convenience init(_ golden: GoldenFile, _ run: String, layers: [Int], sites: [Site] = [.mlpOut]) throws {
    let model = try DecoderModel(
      Checkpoint(golden.model), layers: 0..<layers.last! + 1, includingHead: false,
      operations: try CPUOperations(threads: 2))
    try self.init(TokensStream(golden, run), model, layers: layers, sites: sites)
  }

  init(
    _ tokens: TokensStream, _ model: DecoderModel, layers: [Int], sites: [Site] = [.mlpOut], passRows: Int = 1024
  ) throws {
    folder = try TemporaryFolder()
    let places = PlaceList(sites: sites, layers: layers)
    let capture = ActivationCapture(model: model, places: places)
    let writer = StreamWriter(try OutputFile(path: path))
    try writer.begin(.activations, provenance: [:])
    try tokens.forEachGroup(model.description, [], passRows: passRows) { group in
      try capture.run(group)
      try writer.write(capture.records(group, places: places), of: group.records)
    }
    try writer.end()
    try writer.finish()
  }
}

/// What act-grad makes of that.
final class GradientsStream: StoredStream {
  let kind = StreamKind.gradients
  private let folder: TemporaryFolder
  var path: String { folder.file("gradients.ts") }

  /// - Parameters:
  ///   - captured: the layers in the activations stream, the first only where none are given.
  ///   - start: the captured layer to go on from.
  ///   - layers: those whose gradients are wanted, all from `start` on where none are given.
  convenience init(
    _ golden: GoldenFile, _ run: String, captured: [Int] = [0], start: Int = 0, layers: [Int]? = nil
  ) throws {
    let model = try DecoderModel(
      Checkpoint(golden.model), layers: start + 1..<golden.layerCount, includingHead: true,
      operations: try CPUOperations(threads: 2))
    try self.init(
      ActivationsStream(golden, run, layers: captured), model, start: start,
      layers: layers ?? Array(start..<golden.layerCount))
  }

  init(_ activations: ActivationsStream, _ model: DecoderModel, start: Int, layers: [Int], passRows: Int = 1024) throws
  {
    folder = try TemporaryFolder()
    let pass = try ActivationGradients(
      model: model, start: Place(.mlpOut, start), places: PlaceList(sites: [.mlpOut], layers: layers))
    let writer = StreamWriter(try OutputFile(path: path))
    try writer.begin(.gradients, provenance: [:])
    try activations.forEachGroup(model.description, pass.neededPlaces, passRows: passRows) {
      try writer.write(pass.records($0), of: $0.records)
    }
    try writer.end()
    try writer.finish()
  }
}
