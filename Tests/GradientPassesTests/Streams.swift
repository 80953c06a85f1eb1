import GradientPasses
import QwenModel
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

/// What qwen-capture writes for a golden file's batches.
final class ActivationsStream: StoredStream {
  let kind = StreamKind.activations
  private let folder: TemporaryFolder
  var path: String { folder.file("activations.ts") }

  init(_ golden: GoldenFile, _ run: String, layers: [Int]) throws {
    folder = try TemporaryFolder()
    let model = try QwenModel(
      Checkpoint(golden.model), layers: 0..<layers.last! + 1, includingHead: false,
      operations: CPUOperations(threads: 2))
    let capture = ActivationCapture(model: model, layers: layers)
    let writer = StreamWriter(try OutputFile(path: path))
    try writer.begin(.activations, provenance: [:])
    for (number, tokens) in try golden.batches(run).enumerated() {
      try capture.run(tokens)
      try writer.write(capture.record(tokens, layers: layers), batch: number)
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
  init(_ golden: GoldenFile, _ run: String, captured: [Int] = [0], start: Int = 0, layers: [Int]? = nil) throws {
    folder = try TemporaryFolder()
    let activations = try ActivationsStream(golden, run, layers: captured)
    let model = try QwenModel(
      Checkpoint(golden.model), layers: start + 1..<golden.layerCount, includingHead: true,
      operations: CPUOperations(threads: 2))
    let pass = ActivationGradients(model: model, start: start, layers: layers ?? Array(start..<golden.layerCount))
    let writer = StreamWriter(try OutputFile(path: path))
    try writer.begin(.gradients, provenance: [:])
    try activations.forEachRecord { record in
      try writer.write(try pass.record(record, TokenBatch(record)), batch: try record.batch)
    }
    try writer.end()
    try writer.finish()
  }
}
