import Foundation
import SystemIO
import TensorFiles
import TensorStream
import TestSupport
import Testing

/// A number that is none never goes into an average without a word.
@Suite struct NonfiniteTests {
  private static let layer = 3
  private static let weights = SafetensorsFileBytes(path: DemoRun.model + "/model.safetensors")

  /// The demo's model with one number of one tensor replaced.
  private func model(_ tensor: TensorInfo, element: Int, _ pattern: [UInt8]) throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    var bytes = Self.weights.bytes
    let place = Self.weights.header.dataOffset + tensor.byteRange.lowerBound + element * tensor.type.size
    bytes.replaceSubrange(place..<place + pattern.count, with: pattern)
    try bytes.write(to: folder.url("model.safetensors"))
    try FileManager.default.copyItem(atPath: DemoRun.model + "/config.json", toPath: folder.file("config.json"))
    return folder
  }

  private func pattern(_ value: Float, _ type: ElementType) -> [UInt8] {
    switch type {
    case .f32: little(value.bitPattern)
    case .bf16: little(UInt16(value.bitPattern >> 16))
    default: preconditionFailure("the demo's model has no \(type)")
    }
  }

  /// Every kind of weight, in the capture and on the way back.
  @Test func everyWeight() throws {
    let tokens = try DemoRun.tokens(0..<2)
    let names = Self.weights.header.tensors.map(\.name).filter {
      $0.contains("layers.\(Self.layer).") || !$0.contains("layers.")
    }
    #expect(names.count >= 13)
    for name in names {
      let tensor = Self.weights.header[name]!
      // Of the embedding, a token's row that the samples have.
      let width = tensor.shape.last!
      let element = name.contains("embed_tokens") ? Int(DemoRun.samples[0][1]) * width + 5 : 0
      let folder = try model(tensor, element: element, pattern(.nan, tensor.type))
      let arguments = ["--model", folder.path, "--layers", "\(Self.layer)"]
      let capture = try Program("qwen-capture").run(arguments + ["--loss"], input: tokens)
      #expect(capture.failed(65, saying: "nan at sample "), "\(name): \(capture.errors)")
      #expect(
        capture.errors.contains("(\(folder.path)/model.safetensors: tensor \(name) has nan at element \(element))"),
        "\(name): \(capture.errors)")
      let waived = try Program("qwen-capture").run(arguments + ["--loss", "--allow-nonfinite"], input: tokens)
      #expect(waived.status == 0)
      let passedOn = try Program("act-grad").run(["--model", folder.path], input: waived.output)
      #expect(passedOn.status == 65 && passedOn.errors.contains("nan at sample "), "\(name): \(passedOn.errors)")
    }
  }

  @Test func activationsAndGradients() throws {
    let tokens = try DemoRun.tokens(0..<2)
    let norm = Self.weights.header["model.layers.3.input_layernorm.weight"]!
    let folder = try model(norm, element: 0, pattern(.infinity, norm.type))
    let arguments = ["--model", folder.path]
    let bad = try Program("qwen-capture").run(arguments + ["--allow-nonfinite", "--quiet"], input: tokens).output
    // act-grad goes on from layer 0, which is right; sae-grad from layer 3 as it was captured.
    let sae = ["--layers", "3", "--sae", packageRoot + "/demo/saes/mlp_out_layer_{layer}/trainer_0"]
    for (program, cause) in [
      (["act-grad"], "model.layers.3.input_layernorm.weight has inf at element 0)"),
      (["sae-grad"] + sae, "(the input's tensor "),
    ] {
      let outcome = try Program(program[0]).run(arguments + program.dropFirst(), input: bad)
      #expect(outcome.status == 65 && outcome.errors.contains(cause), "\(outcome.errors)")
      #expect(outcome.errors.contains("\(program[0]): batch 0: tensor "), "\(outcome.errors)")
    }
    let gradients = try Program("act-grad").run(arguments + ["--allow-nonfinite", "--quiet"], input: bad)
    #expect(gradients.status == 0)
    let outcome = try Program("grad-aggregate").run([], input: gradients.output)
    #expect(outcome.status == 65 && outcome.errors.contains("nan at sample 0, position "), "\(outcome.errors)")
    #expect(try Program("grad-aggregate").run(["--allow-nonfinite"], input: gradients.output).status == 0)
  }

  @Test func autoencoders() throws {
    let folder = try TemporaryFolder()
    let source = packageRoot + "/demo/saes/mlp_out_layer_3/trainer_0"
    for name in try FileManager.default.contentsOfDirectory(atPath: source) {
      try FileManager.default.copyItem(atPath: "\(source)/\(name)", toPath: folder.file(name))
    }
    // The checksum is that of a file from a stranger: right. torch leaves it out when it is told to, as 0.
    let bytes = [UInt8](try Data(contentsOf: folder.url("ae.pt")))
    try Data(poisoned(bytes)).write(to: folder.url("ae.pt"))
    let activations = try DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--layers", "3"], DemoRun.tokens.get())
    let arguments = DemoRun.modelFlag + ["--sae", folder.path]
    let outcome = try Program("sae-grad").run(arguments, input: activations)
    #expect(outcome.status == 65 && outcome.errors.contains("nan"), "\(outcome.errors)")
    #expect(outcome.errors.contains("/ae.pt: "), "\(outcome.errors)")
  }

  /// The file with a NaN in the middle of its largest entry, and no checksums.
  private func poisoned(_ file: [UInt8]) -> [UInt8] {
    var file = file
    func u32(_ place: Int) -> Int { (0..<4).reduce(0) { $0 | Int(file[place + $1]) << (8 * $1) } }
    func u16(_ place: Int) -> Int { Int(file[place]) | Int(file[place + 1]) << 8 }
    var largest = (size: 0, header: 0)
    for place in 0..<file.count - 46 where u32(place) == 0x0201_4b50 {
      for byte in 16..<20 { file[place + byte] = 0 }
      if u32(place + 24) > largest.size { largest = (u32(place + 24), u32(place + 42)) }
    }
    let start = largest.header + 30 + u16(largest.header + 26) + u16(largest.header + 28)
    file.replaceSubrange(start + 400..<start + 404, with: little(Float.nan.bitPattern))
    return file
  }
}

/// A safetensors file and its header.
private struct SafetensorsFileBytes {
  let bytes: Data
  let header: SafetensorsHeader

  init(path: String) {
    bytes = try! Data(contentsOf: URL(fileURLWithPath: path))
    header = try! [UInt8](bytes).withUnsafeBytes { try SafetensorsHeader(parsing: $0) }
  }
}
