import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// `--arithmetic`, of which the stream says what was asked for.
@Suite struct ArithmeticTests {
  private static let programs = [
    ("act-grad", [String]()), ("sae-grad", ["--sae", DemoRun.autoencoders, "--layers", "2"]),
    ("sae-grad", ["--sae", DemoRun.autoencoders, "--layers", "2", "--use-error-term"]),
  ]

  /// Without a massive activation, the default's numbers are those of float32.
  @Test(arguments: programs.prefix(2))
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

  /// Throughout in Double, gradients are others in their last digits, on any number of threads the same.
  @Test(arguments: programs) func inDouble(program: String, flags: [String]) throws {
    let captured = try DemoRun.activations.get()
    func gradients(_ own: String...) throws -> [Float] {
      let output = try DemoRun.output(program, DemoRun.modelFlag + flags + own, captured)
      let reader = StreamReader(try ReusedFile().opened(with: Array(output)))
      var values: [Float] = []
      while let segment = try reader.nextSegment(.gradients) {
        #expect(segment.provenance["arithmetic"] == own.dropFirst().first)
        while let record = try reader.nextRecord() {
          values += try record.tensor("grad.mlp_out.2", shape: [nil, 128], of: Float.self)
        }
      }
      return values
    }
    let (mixed, exact) = try (gradients(), gradients("--arithmetic", "float64"))
    let error = relativeL2(mixed, exact.map(Double.init))
    #expect(error > 0 && error < 1e-5 && exact.count > 1000, "\(error)")
    #expect(try gradients("--arithmetic", "float64", "--threads", "3") == exact)
  }

  /// The difference of two losses is another where they are rounded apart.
  @Test func effectsInDouble() throws {
    func effects(_ own: String...) throws -> [SAEEffectTests.Line] {
      let list = (0..<40).map { "2:\($0)" }.joined(separator: ",")
      let flags = DemoRun.modelFlag + ["--sae", DemoRun.autoencoders, "--features", list]
      return try SAEEffectTests.lines(
        DemoRun.output("sae-effect", flags + own, try DemoRun.activations.get()))
    }
    let (mixed, exact) = try (effects(), effects("--arithmetic", "float64"))
    let pairs = zip(mixed, exact).filter { $0.0.effect ?? 0 != 0 }
    #expect(mixed.map(\.feature) == exact.map(\.feature) && pairs.count > 3)
    for (mixed, exact) in pairs {
      #expect(mixed.effect != exact.effect && abs(mixed.effect! - exact.effect!) < 1e-6)
      #expect(abs(mixed.predicted! - exact.predicted!) < 1e-5 * abs(exact.predicted!) + 1e-8)
      #expect(mixed.firing == exact.firing)
    }
    #expect(try effects("--arithmetic", "float64", "--threads", "3") == exact)
  }

  /// Refused before anything is opened.
  @Test(arguments: [
    ("act-grad", ["--model", "none"]), ("sae-grad", ["--model", "none", "--sae", "none"]),
    ("sae-effect", ["--model", "none", "--features", "0:1"]),
    ("gradient-run", ["activations", "--model-name", "none"]),
  ])
  func notOnAGPU(program: String, flags: [String]) throws {
    for (device, words) in [
      (["--device", "cuda:0"], "--arithmetic float64: expected --device cpu or auto, found cuda:0"),
      (["--precision", "tf32"], "--arithmetic float64: expected --precision auto or float32, found tf32"),
    ] {
      let outcome = try Program(program).run(flags + ["--arithmetic", "float64"] + device)
      #expect(outcome.failed(64, saying: words), "\(outcome.errors)")
    }
  }
}
