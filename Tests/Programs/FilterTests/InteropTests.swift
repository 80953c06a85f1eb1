import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// Streams to and from a Python that knows zstandard and safetensors only.
@Suite struct InteropTests {
  private static let python = ProcessInfo.processInfo.environment["PYTHON"] ?? "python3"
  private static let script = packageRoot + "/Tests/Programs/FilterTests/interop.py"
  private static let isAvailable =
    (try? Program.shell("'\(python)' -c 'import zstandard, safetensors, numpy'").status) == 0

  /// Runs the script, with `rest` behind it.
  private func run(_ command: String, _ rest: String = "", input: Data = Data()) throws -> Program.Outcome {
    guard Self.isAvailable else {
      try Test.cancel("\(Self.python) has no zstandard, safetensors and numpy: set PYTHON to one that has")
    }
    return try Program.shell("set -o pipefail; '\(Self.python)' '\(Self.script)' \(command)\(rest)", input: input)
  }

  @Test(arguments: [DemoRun.tokens, DemoRun.activations, DemoRun.gradients, DemoRun.aggregates])
  func pythonReadsOurs(_ stream: Result<Data, any Error>) throws {
    let data = try stream.get() + stream.get()
    let found = try run("read", input: data)
    #expect(found.status == 0, "\(found.errors)")
    // The same listing from our own reader.
    var expected: [String] = []
    let reader = StreamReader(try ReusedFile().opened(with: Array(data)))
    while let segment = try reader.nextSegment() {
      expected.append("\(reader.recordNumber - 1) begin \(segment.kind.rawValue)")
      while let record = try reader.nextRecord() {
        expected.append("\(record.number) data \(try record.batch)")
        for tensor in record.header.tensors.sorted(by: { $0.name < $1.name }) {
          let shape = tensor.shape.map { Int?($0) }
          let (type, values): (String, [Double]) =
            switch tensor.type {
            case .i32: ("int32", try record.tensor(tensor.name, shape: shape, of: Int32.self).map(Double.init))
            case .i64: ("int64", try record.tensor(tensor.name, shape: shape, of: Int64.self).map(Double.init))
            case .f64: ("float64", try Array(record.tensor(tensor.name, shape: shape, of: Double.self)))
            default: ("float32", try record.tensor(tensor.name, shape: shape, of: Float.self).map(Double.init))
            }
          expected.append("\(record.number) \(tensor.name) \(type) \(tensor.shape) \(values.reduce(0, +))")
        }
      }
      expected.append("\(reader.recordNumber - 1) end ")
    }
    let lines = found.text.split(separator: "\n").map(String.init)
    #expect(lines.count == expected.count)
    for (line, expected) in zip(lines, expected) {
      let (line, wanted) = (line.split(separator: " "), expected.split(separator: " "))
      #expect(line.dropLast() == wanted.dropLast())
      // numpy adds in another order.
      guard let a = line.last.flatMap({ Double($0) }), let b = wanted.last.flatMap({ Double($0) }) else { continue }
      #expect(abs(a - b) <= 1e-9 * max(1, abs(b)))
    }
  }

  @Test func pythonNoticesTruncation() throws {
    let stream = try DemoRun.gradients.get()
    #expect(try run("read", input: stream.prefix(DemoRun.frameStarts(stream).last!)).status != 0)
  }

  @Test func weReadPythons() throws {
    let folder = try TemporaryFolder()
    let outcome = try run("write", " | grad-aggregate --mode both --save '\(folder.path)' | stream-info --check")
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.text.hasPrefix("-: whole: aggregates, segments 1, data records 1"))
    let check = try run("check '\(folder.path)'")
    #expect(check.text == "0 mean agrees\n0 mean_abs agrees\n7 mean agrees\n7 mean_abs agrees\n", "\(check.errors)")
  }

  @Test func pythonsStreamsAreCheckedToo() throws {
    let stream = try run("write").output
    #expect(try Program("stream-info").run(["--check"], input: stream).status == 0)
    for cut in DemoRun.frameStarts(stream).dropFirst() {
      #expect(try Program("stream-info").run(["--check"], input: stream.prefix(cut)).failed(65, saying: "truncated"))
    }
  }
}
