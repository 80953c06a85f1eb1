import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// Token streams made here and the demo model behind the programs.
enum DemoRun {
  static let model = packageRoot + "/demo/model"
  static let modelFlag = ["--model", model]

  /// Ten samples of 2 to 40 tokens, the same in every run.
  static let samples: [[Int32]] = {
    var numbers = SeededNumbers(seed: 11)
    return [7, 2, 40, 13, 5, 21, 3, 9, 2, 17].map { count in
      (0..<count).map { _ in Int32.random(in: 0..<4096, using: &numbers) }
    }
  }()

  /// The samples as a tokens stream.
  static func tokens(_ range: Range<Int> = 0..<samples.count, samplesPerBatch: Int = 4) throws -> Data {
    let batches = stride(from: range.lowerBound, to: range.upperBound, by: samplesPerBatch).map { start in
      Array(samples[start..<min(start + samplesPerBatch, range.upperBound)])
    }
    return Data(
      try tokenStream(
        batches, firstSample: Int64(range.lowerBound),
        provenance: ["batch_size": String(samplesPerBatch), "max_length": "40"]))
  }

  static let tokens = Result { try tokens() }
  static let activations = Result { try output("qwen-capture", modelFlag + ["--layers", "0,2"], try tokens.get()) }
  static let gradients = Result { try output("act-grad", modelFlag, try activations.get()) }
  static let aggregates = Result { try output("grad-aggregate", ["--mode", "both"], try gradients.get()) }

  /// The gradients of some samples through both programs.
  static func gradients(_ range: Range<Int>, samplesPerBatch: Int = 4) throws -> Data {
    let activations = try output(
      "qwen-capture", modelFlag + ["--layers", "0"], tokens(range, samplesPerBatch: samplesPerBatch))
    return try output("act-grad", modelFlag, activations)
  }

  /// What a program that must succeed writes.
  static func output(_ program: String, _ arguments: [String], _ input: Data) throws -> Data {
    let outcome = try Program(program).run(arguments + ["--quiet"], input: input)
    guard outcome.status == 0 else { throw Failure(.bug, "\(program): exit \(outcome.status): \(outcome.errors)") }
    return outcome.output
  }

  /// The filters that read a stream, how they are called and the stream that they read.
  struct Case: CustomTestStringConvertible, Sendable {
    let program: String
    let arguments: [String]
    let input: Result<Data, any Error>
    /// A stream of a kind that the program does not read.
    let wrongInput: Result<Data, any Error>

    var testDescription: String { program }
    var commandLine: String { ([program] + arguments).map { "'\($0)'" }.joined(separator: " ") }
  }

  static let cases = [
    Case(program: "qwen-capture", arguments: modelFlag, input: tokens, wrongInput: gradients),
    Case(program: "act-grad", arguments: modelFlag, input: activations, wrongInput: tokens),
    Case(program: "grad-aggregate", arguments: [], input: gradients, wrongInput: activations),
    Case(program: "stream-info", arguments: [], input: gradients, wrongInput: .success(Data("text\n".utf8))),
    Case(program: "stream-info", arguments: ["--check"], input: aggregates, wrongInput: .success(Data("text\n".utf8))),
  ]

  static let autoencoders = packageRoot + "/demo/saes/mlp_out_layer_{layer}/trainer_0"

  /// Every program at its usual work, which writes to standard output.
  static let allPrograms = [
    Case(
      program: "wt-tokenize", arguments: ["--tokenizer", model, "--num-samples", "8"], input: text,
      wrongInput: .success(Data([0x1f, 0x8b, 8, 0]))),
    Case(program: "qwen-capture", arguments: modelFlag + ["--loss"], input: tokens, wrongInput: gradients),
    Case(program: "act-grad", arguments: modelFlag, input: activations, wrongInput: tokens),
    Case(
      program: "sae-grad", arguments: modelFlag + ["--sae", autoencoders], input: activations, wrongInput: tokens),
    Case(
      program: "sae-effect", arguments: modelFlag + ["--sae", autoencoders, "--features", "2:1,0:5"],
      input: activations,
      wrongInput: tokens),
    Case(program: "grad-aggregate", arguments: ["--mode", "both"], input: gradients, wrongInput: activations),
    Case(program: "grad-table", arguments: [], input: aggregates, wrongInput: tokens),
    Case(program: "grad-report", arguments: [], input: aggregates, wrongInput: tokens),
    Case(
      program: "grad-contexts", arguments: ["--features", "0:1,2:3", "--by", "gradient"], input: gradients,
      wrongInput: tokens),
    Case(program: "stream-info", arguments: [], input: gradients, wrongInput: .success(Data("text\n".utf8))),
  ]
  private static let text = Result { try Data(contentsOf: URL(fileURLWithPath: packageRoot + "/demo/sample.txt")) }

  /// Where each frame of a stream begins, by its magic number.
  static func frameStarts(_ stream: Data) -> [Int] {
    var starts: [Int] = []
    var rest = stream[...]
    while let range = rest.range(of: Data([0x28, 0xb5, 0x2f, 0xfd])) {
      starts.append(range.lowerBound)
      rest = rest[range.upperBound...]
    }
    return starts
  }
}

/// All F32 and F64 tensors of an aggregates stream by name.
func averages(_ stream: Data) throws -> [String: [Double]] {
  let reader = StreamReader(try ReusedFile().opened(with: Array(stream)))
  var values: [String: [Double]] = [:]
  while try reader.nextSegment(.aggregates) != nil {
    while let record = try reader.nextRecord() {
      for tensor in record.header.tensors {
        let shape = tensor.shape.map(Optional.some)
        switch tensor.type {
        case .f32: values[tensor.name] = try record.tensor(tensor.name, shape: shape, of: Float.self).map(Double.init)
        case .f64: values[tensor.name] = try Array(record.tensor(tensor.name, shape: shape, of: Double.self))
        default: break
        }
      }
    }
  }
  return values
}
