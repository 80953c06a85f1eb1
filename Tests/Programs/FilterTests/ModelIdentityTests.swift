import Foundation
import TensorFiles
import TensorStream
import TestSupport
import Testing

/// Two fine-tunes of one model, which differ in one norm's weight: what one program computed from the one is refused by
/// every program that would mix it with the other.
@Suite struct ModelIdentityTests {
  /// The demo model with one bit of one weight changed.
  private static func fineTune() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    let manager = FileManager.default
    try manager.copyItem(atPath: "\(DemoRun.model)/config.json", toPath: folder.file("config.json"))
    try manager.copyItem(atPath: "\(DemoRun.model)/model.safetensors", toPath: folder.file("model.safetensors"))
    let file = try SafetensorsFile(path: folder.file("model.safetensors"))
    let norm = try #require(file.header["model.layers.2.post_attention_layernorm.weight"])
    var bytes = try Data(contentsOf: folder.url("model.safetensors"))
    bytes[file.header.dataOffset + norm.byteRange.lowerBound + 40] ^= 1
    try bytes.write(to: folder.url("model.safetensors"))
    return folder
  }

  private let other = try! fineTune()
  private let sae = ["--sae", "\(packageRoot)/demo/saes/mlp_out_layer_{layer}/trainer_0", "--layers", "2"]

  @Test func activations() throws {
    let streams = try DemoRun.activations.get()
    for (program, flags) in [("act-grad", []), ("sae-grad", sae)] {
      let outcome = try Program(program).run(["--model", other.path] + flags, input: streams)
      #expect(outcome.failed(65, saying: "another model: model.weights.xxh64"), "\(outcome.errors)")
      let same = try Program(program).run(DemoRun.modelFlag + flags + ["--quiet"], input: streams)
      #expect(same.status == 0, "\(same.errors)")
    }
  }

  @Test func gradientsAndPartialSums() throws {
    func gradients(_ model: String, _ program: String, _ flags: [String]) throws -> Data {
      let activations = try DemoRun.output(
        "qwen-capture", ["--model", model, "--layers", "0,2"], try DemoRun.tokens.get())
      return try DemoRun.output(program, ["--model", model] + flags, activations)
    }
    for (program, flags) in [("act-grad", []), ("sae-grad", sae)] {
      let own = try gradients(DemoRun.model, program, flags)
      let foreign = try gradients(other.path, program, flags)
      let sums = try [own, foreign].map { try DemoRun.output("grad-aggregate", ["--partial"], $0) }
      let folder = try TemporaryFolder()
      for (name, stream) in [("own", own), ("foreign", foreign), ("own-sums", sums[0]), ("foreign-sums", sums[1])] {
        try stream.write(to: folder.url(name))
      }
      for pair in [["own", "foreign"], ["own-sums", "foreign-sums"], ["own-sums", "foreign"]] {
        let outcome = try Program("grad-aggregate").run(pair.map { folder.file($0) })
        #expect(
          outcome.status == 65 && outcome.errors.contains("model.weights.xxh64"), "\(program): \(outcome.errors)")
      }
    }
  }

  /// What a user should know of a folder is said whatever else is not.
  @Test func warningsAreSaidWithQuietToo() throws {
    let path = other.file("config.json")
    let text = try String(contentsOfFile: path, encoding: .utf8)
    try text.replacing("\"vocab_size\"", with: "\"auto_map\": {\"AutoModel\": \"a.B\"}, \"vocab_size\"")
      .write(toFile: path, atomically: true, encoding: .utf8)
    let arguments = ["--model", other.path, "--quiet", "--layers", "2"]
    let capture = try Program("qwen-capture").run(arguments, input: try DemoRun.tokens.get())
    let programs = [
      capture, try Program("act-grad").run(arguments, input: capture.output),
      try Program("sae-grad").run(arguments + sae.prefix(2), input: capture.output),
    ]
    for outcome in programs {
      #expect(outcome.status == 0 && outcome.errors.contains("warning: \(path): auto_map: "), "\(outcome.errors)")
    }
  }

  /// A stream that does not say which model it comes from does not agree with any.
  @Test(arguments: ["model.weights.xxh64", "model.config.xxh64"]) func anIdentityThatIsMissing(key: String) throws {
    let reader = StreamReader(try ReusedFile().opened(with: Array(DemoRun.activations.get())))
    var metadata = try #require(try reader.nextSegment(.activations)).provenance
    metadata[key] = nil
    let begin = safetensors(
      metadata.merging(["record": "begin", "format": "tensor-stream/2", "kind": "activations"]) { _, own in own })
    let outcome = try Program("act-grad").run(DemoRun.modelFlag, input: Data(HandmadeFrame(begin).bytes))
    #expect(outcome.failed(65, saying: "\(key): expected"), "\(outcome.errors)")
    #expect(outcome.errors.contains("found none"), "\(outcome.errors)")
  }
}
