import Foundation
import TensorStream
import TestSupport
import Testing

@Suite struct StreamInfoTests {
  private let program = Program("stream-info")

  /// Two segments: one of a record with two tensors, one without records.
  private var stream: Data {
    get throws {
      Data(
        try streamBytes { writer in
          try writer.begin(.aggregates, provenance: ["model": "a \"model\"\n", "places": "mlp_out.3"])
          var record = OutputRecord()
          record.add("mean_abs.mlp_out.3", [1, 2, 3] as [Float])
          record.add("weight.mlp_out.3", [5.0] as [Double])
          try writer.write(record, batch: 0)
          try writer.end()
          try writer.begin(.aggregates, provenance: [:])
          try writer.end()
        })
    }
  }

  private func objects(_ text: String) throws -> [[String: Any]] {
    try text.split(separator: "\n").map {
      try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
    }
  }

  @Test func listing() throws {
    let text = try program.run([], input: DemoRun.aggregates.get()).text
    #expect(text.contains("-: segment 0: aggregates\n"))
    #expect(text.contains("    mean_abs.mlp_out.3  F32 [128]\n"))
    #expect(text.hasSuffix("  end: 1 data records\n"))
    let two = try DemoRun.tokens.get() + DemoRun.tokens.get()
    let check = try program.run(["--check"], input: two)
    #expect(check.text.hasPrefix("-: complete: tokens, 2 segments, 6 data records, "), "\(check.text)")
    let trickle = try Program.shell("dd bs=1 2> /dev/null | stream-info --check", input: DemoRun.tokens.get())
    #expect(trickle.text.hasPrefix("-: complete: tokens, 1 segment, 3 data records, "), "\(trickle.text)")
  }

  @Test func anObjectForEachRecord() throws {
    let outcome = try program.run(["--json"], input: stream)
    #expect(outcome.status == 0 && outcome.errors.isEmpty)
    let objects = try objects(outcome.text)
    #expect(objects.map { $0["record"] as? String } == ["begin", "data", "end", "begin", "end"])
    #expect(objects.map { $0["number"] as? Int } == [0, 1, 2, 3, 4])
    #expect(objects.map { $0["segment"] as? Int } == [0, 0, 0, 1, 1])
    #expect(objects.allSatisfy { $0["stream"] as? String == "-" })
    #expect(objects[0]["kind"] as? String == "aggregates")
    #expect(objects[0]["provenance"] as? [String: String] == ["model": "a \"model\"\n", "places": "mlp_out.3"])
    #expect(objects[1]["metadata"] as? [String: String] == ["batch": "0"])
    let tensors = try #require(objects[1]["tensors"] as? [[String: Any]])
    let described = tensors.map { "\($0["name"]!) \($0["dtype"]!) \($0["shape"] as! [Int])" }
    #expect(described.sorted() == ["mean_abs.mlp_out.3 F32 [3]", "weight.mlp_out.3 F64 [1]"])
    #expect(objects[2]["data_records"] as? Int == 1 && objects[4]["data_records"] as? Int == 0)
    #expect(objects[1]["bytes"] as? Int == objects[2]["bytes"] as? Int && objects[4]["bytes"] as? Int == 0)
  }

  /// What the sizes say is what the program that wrote the stream says of it in the end record.
  @Test func anObjectForEachStream() throws {
    let folder = try TemporaryFolder()
    try stream.write(to: folder.url("a.ts"))
    try DemoRun.gradients.get().write(to: folder.url("b.ts"))
    let outcome = try program.run(["--json", "--check", folder.file("a.ts"), folder.file("b.ts")])
    let objects = try objects(outcome.text)
    #expect(objects.map { $0["stream"] as? String } == [folder.file("a.ts"), folder.file("b.ts")])
    #expect(objects.map { $0["kind"] as? String } == ["aggregates", "gradients"])
    #expect(objects.allSatisfy { $0["complete"] as? Bool == true })
    #expect(objects[0]["segments"] as? Int == 2 && objects[0]["data_records"] as? Int == 1)
    let records = try self.objects(try program.run(["--json", folder.file("b.ts")]).text)
    let sizes = records.filter { $0["record"] as? String == "data" }.compactMap { $0["bytes"] as? Int }
    #expect(sizes.count == objects[1]["data_records"] as? Int)
    #expect(sizes.reduce(0, +) == objects[1]["bytes"] as? Int)
  }

  @Test func aDamagedStreamIsRefusedInEveryForm() throws {
    let stream = try stream
    for flags in [[], ["--check"], ["--json"], ["--json", "--check"]] {
      let outcome = try program.run(flags, input: stream.dropLast(5))
      #expect(outcome.failed(65, saying: "stream-info: -: record 4: truncated"), "\(flags) \(outcome.errors)")
      #expect(!outcome.text.contains("complete"))
    }
  }
}
