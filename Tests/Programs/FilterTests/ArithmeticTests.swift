import Foundation
import TestSupport
import Testing

/// `--arithmetic` where no activation is massive: the same numbers, and the stream says what was asked for.
@Suite struct ArithmeticTests {
  @Test(arguments: [("act-grad", [String]()), ("sae-grad", ["--sae", DemoRun.autoencoders, "--layers", "2"])])
  func aModelWithoutMassiveActivations(program: String, flags: [String]) throws {
    let captured = try DemoRun.activations.get()
    func run(_ own: [String]) throws -> (data: Data, begin: String, words: String) {
      let outcome = try Program(program).run(DemoRun.modelFlag + flags + own, input: captured)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let frames = DemoRun.frameStarts(outcome.output)
      let info = try Program("stream-info").run([], input: outcome.output)
      return (outcome.output[frames[1]..<frames.last!], info.text, outcome.errors)
    }
    let (mixed, float32) = try (run([]), run(["--arithmetic", "float32"]))
    #expect(Data(mixed.data) == Data(float32.data) && mixed.data.count > 1000)
    func says(_ begin: String) -> Bool {
      begin.split(separator: "\n").contains { $0.split(separator: " ") == ["arithmetic", "float32"] }
    }
    #expect(!says(mixed.begin) && says(float32.begin))
    #expect(!mixed.words.contains("float64"))
    #expect(
      try Program(program).run(DemoRun.modelFlag + flags + ["--arithmetic", "float16"], input: captured).status == 64)
  }
}
