import Decoders
import Foundation
import JSON
import SystemIO
import TensorStream
import TestSupport
import Testing

/// A tiny model and its logits by Hugging Face in float64 that others have published.
@Suite(
  .enabled(if: exists(sharedData + "/tiny-qwen2"), "needs ../shared/data/tiny-qwen2, which is not part of the project"))
struct TinyQwenTests {
  @Test func logits() throws {
    let data = sharedData + "/tiny-qwen2"
    let folder = try TemporaryFolder()
    for (source, name) in [("tiny_qwen2.safetensors", "model.safetensors"), ("tiny_qwen2_config.json", "config.json")] {
      try FileManager.default.copyItem(atPath: "\(data)/\(source)", toPath: folder.file(name))
    }
    let model = try loadModel(folder.path)
    let json = try JSON(parsing: InputFile(path: "\(data)/tiny_qwen2_logits.json").readAll(limit: 1 << 20))
    let sequences = try #require(json["sequences"]?.elements).map { ids in ids.elements!.map { Int32($0.int!) } }
    let expected = try #require(json["logits"]?.elements).map { rows in
      rows.elements!.flatMap { row in row.elements!.map { $0.number! } }
    }
    #expect(sequences.count == 3)
    // All sequences in one batch.
    let starts = sequences.reduce(into: [Int32(0)]) { $0.append($0.last! + Int32($1.count)) }
    let tokens = TokenBatch(
      inputIDs: sequences.flatMap { $0 }, cuSeqlens: starts, sampleIndex: sequences.indices.map { Int64($0) })
    let found = try model.logits(ModelInput(tokens, model.description))
    let worst = zip(found, expected.flatMap { $0 }).map { abs(Double($0) - $1) }.max()!
    #expect(found.count == expected.reduce(0) { $0 + $1.count } && worst < 1e-4)
    #expect(relativeL2(found, expected.flatMap { $0 }) < GoldenTests.forwardTolerance)
  }
}
