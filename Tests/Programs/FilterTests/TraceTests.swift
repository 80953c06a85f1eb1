import Foundation
import TestSupport
import Testing

/// What `--trace` writes, from outside.
@Suite struct TraceTests {
  private struct Event: Decodable {
    let ph: String
    let name: String
    let tid: Int
    let ts: Int?
    let dur: Int?
    let args: [String: String]?
  }

  private func events(
    _ program: String, _ arguments: [String], _ input: Data, environment: [String: String] = [:]
  ) throws -> (tracks: [Int: String], spans: [Event], output: Data) {
    let folder = try TemporaryFolder()
    let outcome = try Program(program).run(
      arguments + ["--quiet", "--trace", folder.file("trace.json")], input: input, environment: environment)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let all = try JSONDecoder().decode([Event].self, from: Data(contentsOf: folder.url("trace.json")))
    let tracks = all.filter { $0.ph == "M" }.map { ($0.tid, $0.args!["name"]!) }
    return (Dictionary(uniqueKeysWithValues: tracks), all.filter { $0.ph == "X" }, outcome.output)
  }

  @Test func tellsWhatAThreadDid() throws {
    let activations = try DemoRun.activations.get()
    let flags = DemoRun.modelFlag + ["--device", "cpu", "--layers", "3"]
    let (tracks, spans, output) = try events("act-grad", flags, activations)
    // The streams' threads have tracks of their own.
    #expect(Set(spans.map(\.name)).isSuperset(of: ["read bytes", "unpack", "pack", "write bytes"]))
    #expect(Set(tracks.values.filter { $0 == "first thread" || $0.hasPrefix("thread ") }).count >= 4)
    let own = spans.filter { tracks[$0.tid] == "first thread" }
    // The last read finds the end of the stream.
    let names = own.map(\.name)
    #expect(names.filter { $0 == "read" }.count == names.filter { $0 == "passes" }.count + 1)
    #expect(Set(names) == ["read", "passes", "check", "write"])
    for (span, next) in zip(own, own.dropFirst()) { #expect(span.ts! + span.dur! <= next.ts!) }
    // A trace changes nothing.
    let alone = try Program("act-grad").run(flags + ["--quiet"], input: activations).output
    let (found, expected) = try (
      averages(DemoRun.output("grad-aggregate", [], output)), averages(DemoRun.output("grad-aggregate", [], alone))
    )
    #expect(found == expected && !found.isEmpty)
  }

  /// Also where nothing is multiplied, so that no device is asked for.
  @Test func tellsWhatGradAggregateDid() throws {
    let gradients = try DemoRun.output(
      "act-grad", DemoRun.modelFlag + ["--device", "cpu", "--layers", "3"], DemoRun.activations.get())
    let (_, spans, _) = try events("grad-aggregate", [], gradients)
    #expect(Set(spans.map(\.name)).isSuperset(of: ["read", "add", "unpack"]))
  }

  @Test(.enabled(if: StandInGPU.folder != nil, "\(StandInGPU.absence)"))
  func tellsWhatAGPUDid() throws {
    let (tracks, spans, _) = try events(
      "act-grad", DemoRun.modelFlag + ["--device", "cuda", "--layers", "3"], try DemoRun.activations.get(),
      environment: StandInGPU.environment())
    #expect(Set(tracks.values).isSuperset(of: ["first thread", "cuda:0", "cuda:0, copies"]))
    // Groups are read, and their gradients written, while the GPU is at others.
    let aside = Set(spans.filter { tracks[$0.tid]!.hasPrefix("thread ") }.map(\.name))
    #expect(aside.isSuperset(of: ["read", "write"]))
    let onGPU = Set(spans.filter { tracks[$0.tid] == "cuda:0" }.map(\.name))
    #expect(onGPU.isSuperset(of: ["rms_norm", "attention_64", "cross_entropy_tile"]))
    #expect(onGPU.contains { $0.hasPrefix("product of halves ") })
  }

  @Test func aFileThatCannotBeMadeIsRefusedAtTheStart() throws {
    let outcome = try Program("act-grad").run(
      DemoRun.modelFlag + ["--device", "cpu", "--trace", "/nonexistent/trace.json"],
      input: try DemoRun.activations.get())
    #expect(outcome.failed(74, saying: "/nonexistent/trace.json: cannot create"), "\(outcome.errors)")
    #expect(outcome.output.isEmpty)
  }

  /// A run that fails leaves no trace that looks whole.
  @Test func aRunThatFailsLeavesNone() throws {
    let folder = try TemporaryFolder()
    let cut = try DemoRun.activations.get().dropLast(100)
    let outcome = try Program("act-grad").run(
      DemoRun.modelFlag + ["--device", "cpu", "--quiet", "--trace", folder.file("trace.json")], input: Data(cut))
    #expect(outcome.status == 65 && !FileManager.default.fileExists(atPath: folder.file("trace.json")))
  }
}
