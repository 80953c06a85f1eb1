import Foundation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// The programs on a stand-in for a GPU, from outside.
@Suite(.enabled(if: StandInGPU.folder != nil, "\(StandInGPU.absence)"))
struct GPUTests {
  private static let saeFlags = DemoRun.modelFlag + ["--sae", SAEGradTests.pattern]

  private func run(
    _ program: String, _ arguments: [String], _ input: Data, _ settings: [String: String] = [:]
  ) throws -> Program.Outcome {
    try Program(program).run(arguments, input: input, environment: StandInGPU.environment(settings))
  }

  private func output(_ program: String, _ arguments: [String], _ input: Data) throws -> Data {
    let outcome = try run(program, arguments + ["--quiet"], input)
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(program): \(outcome.errors)")
    return outcome.output
  }

  /// Averages of activation gradients and of feature gradients, replaced and with the error term.
  private func analyses(_ device: [String]) throws -> [[String: [Double]]] {
    let activations = try output("qwen-capture", DemoRun.modelFlag + device, try DemoRun.tokens.get())
    return try [
      output("act-grad", DemoRun.modelFlag + device, activations),
      output("sae-grad", Self.saeFlags + device, activations),
      output("sae-grad", Self.saeFlags + ["--use-error-term", "--embed-basis"] + device, activations),
    ].map { try averages(output("grad-aggregate", ["--mode", "both"] + device, $0)) }
  }

  /// And in whatever order the threads of a GPU run, to the last bit.
  @Test func wholeRunsAgreeWithTheProcessor() throws {
    let expected = try analyses(["--device", "cpu"])
    let found = try analyses(["--device", "cuda"])
    for (found, expected) in zip(found, expected) {
      #expect(found.keys.sorted() == expected.keys.sorted() && found.count > 8)
      for (name, values) in found { #expect(relativeL2(values, expected[name]!) < 2e-6, "\(name)") }
    }
    #expect(try analyses(["--device", "cuda:1"]) == found)
    // Sums of halves by tensor cores are as exact, and go with those of the processor.
    for (found, expected) in zip(try analyses(["--device", "cuda", "--precision", "split"]), expected) {
      for (name, values) in found { #expect(relativeL2(values, expected[name]!) < 4e-6, "split, \(name)") }
    }
  }

  /// --sums is what grad-aggregate makes of the gradients on the same device, to the last bit.
  @Test(arguments: [["act-grad"], ["sae-grad"], ["sae-grad", "--use-error-term"], ["sae-grad", "--dense"]])
  func sumsAreThoseOfTheGradients(_ command: [String]) throws {
    let device = ["--device", "cuda"]
    let choices = ["--mode", "both", "--quantity", "gradient,attribution"]
    let flags =
      Array(command.dropFirst())
      + (command[0] == "act-grad" ? DemoRun.modelFlag + ["--with-activations"] : Self.saeFlags)
      + device
    let activations = try output("qwen-capture", DemoRun.modelFlag + device, try DemoRun.tokens.get())
    let gradients = try output(command[0], flags, activations)
    let expected = try averages(output("grad-aggregate", choices + ["--partial"] + device, gradients))
    let sums = try averages(output(command[0], flags + ["--sums"] + choices, activations))
    #expect(sums == expected && sums.count > 10)
  }

  /// To what float32 leaves of a difference of losses.
  @Test func effectsAgreeWithTheProcessor() throws {
    let flags = Self.saeFlags + ["--features", (0..<20).map { "2:\($0)" }.joined(separator: ","), "--stride", "1"]
    let activations = try SAEGradTests.activations.get()
    let (expected, found) = try (
      SAEEffectTests.lines(output("sae-effect", flags + ["--device", "cpu"], activations)),
      SAEEffectTests.lines(output("sae-effect", flags + ["--device", "cuda"], activations))
    )
    #expect(found.count == 21 && found.contains { $0.effect ?? 0 != 0 })
    for (found, expected) in zip(found, expected) {
      #expect(found.feature == expected.feature && found.firing == expected.firing)
      guard let effect = expected.effect else { continue }
      #expect(abs(found.effect! - effect) < 1e-6 && abs(found.predicted! - expected.predicted!) < 1e-6)
    }
  }

  /// Factors of 11 and 8 bits: errors of about 2⁻¹² and 2⁻⁹, which the stream tells.
  @Test(arguments: [("tf32", 1e-5...2e-3), ("bf16", 1e-4...2e-2)])
  func lowerPrecisionIsTold(_ precision: (name: String, error: ClosedRange<Double>)) throws {
    let flags = DemoRun.modelFlag + ["--device", "cuda"]
    let activations = try DemoRun.activations.get()
    let exact = try output("act-grad", flags, activations)
    let rounded = try output("act-grad", flags + ["--precision", precision.name], activations)
    let (found, expected) = try (
      averages(output("grad-aggregate", [], rounded)), averages(output("grad-aggregate", [], exact))
    )
    #expect(precision.error.contains(relativeL2(found["mean_abs.mlp_out.2"]!, expected["mean_abs.mlp_out.2"]!)))
    let together = try run("grad-aggregate", [], exact + rounded)
    #expect(together.failed(65, saying: "precision: expected none as before, found \(precision.name)"))
  }

  @Test(
    arguments: [
      ([:], "cuda:2", 69, "--device cuda: cuda:2: expected a device below 2"),
      (["STAND_IN_DEVICES": "0"], "cuda", 69, "--device cuda: cuda:0: expected a device below 0"),
      (["GRADIENT_FILTERS_CUDA": "/nonexistent"], "cuda", 69, "--device cuda: cannot open libcuda.so.1: "),
      (["STAND_IN_DRIVER": "11040"], "cuda", 69, "expected a driver for CUDA 11.8 or later, found one for 11.4"),
      (["STAND_IN_FAIL": "cuInit:1:999"], "cuda", 69, "--device cuda: cuInit: error 999"),
      (["STAND_IN_FAIL": "cuDevicePrimaryCtxRetain:1:2"], "cuda", 69, "cuDevicePrimaryCtxRetain: out of memory"),
      (["STAND_IN_FAIL": "cublasCreate_v2:1:3"], "cuda", 69, "libcublas.so: cublasCreate: status 3"),
      (["STAND_IN_CAPABILITY": "61"], "cuda", 69, "expected a GPU of compute capability 7.0 or later, found 6.1"),
      (["STAND_IN_FAIL": "cuModuleLoadData:1:200", "XDG_CACHE_HOME": "/nonexistent"], "cuda", 69, "cuModuleLoadData"),
      (["STAND_IN_FAIL": "cuLaunchKernel:40:719"], "cuda", 74, "cuda:0: attention_64: unspecified launch failure"),
      (["STAND_IN_FAIL": "cublasGemmEx:9:13"], "cuda", 74, "cuda:0: cublasGemmEx: status 13"),
      (["STAND_IN_FAIL": "cuMemcpyDtoH_v2:1:700"], "cuda", 74, "cuMemcpyDtoH: an illegal memory access"),
      (["STAND_IN_MEMORY": "8000000"], "cuda", 71, " bytes more were needed: "),
    ] as [([String: String], String, Int32, String)])
  func whatIsMissingIsNamed(
    _ failure: (settings: [String: String], device: String, status: Int32, words: String)
  ) throws {
    let arguments = DemoRun.modelFlag + ["--device", failure.device]
    let outcome = try run("act-grad", arguments, try DemoRun.activations.get(), failure.settings)
    #expect(outcome.failed(failure.status, saying: failure.words), "\(outcome.status): \(outcome.errors)")
  }

  @Test func librariesThatAreMissing() throws {
    let folder = try TemporaryFolder()
    for library in ["libcuda.so.1", "libcublas.so", "libnvrtc.so"] {
      let outcome = try run(
        "act-grad", DemoRun.modelFlag + ["--device", "cuda"], try DemoRun.activations.get(),
        ["GRADIENT_FILTERS_CUDA": folder.path])
      #expect(outcome.failed(69, saying: "--device cuda: cannot open \(library): "), "\(outcome.errors)")
      try FileManager.default.copyItem(atPath: StandInGPU.folder! + "/stand_in.so", toPath: folder.file(library))
    }
    // A library that is none, and one that lacks a function.
    try Data("nonsense".utf8).write(to: folder.url("libcublas.so"))
    let flags = DemoRun.modelFlag + ["--device", "cuda"]
    let settings = ["GRADIENT_FILTERS_CUDA": folder.path]
    let nonsense = try run("act-grad", flags, try DemoRun.activations.get(), settings)
    #expect(nonsense.failed(69, saying: "libcublas.so"), "\(nonsense.errors)")
    _ = try Program.shell("cd '\(folder.path)' && echo 'int other;' | clang -shared -x c - -o libcublas.so")
    let lacking = try run("act-grad", flags, try DemoRun.activations.get(), settings)
    #expect(lacking.failed(69, saying: "libcublas.so: expected cublasGemmEx in it, found none"), "\(lacking.errors)")
  }

  /// auto takes a GPU that works; of one that does not work it says why; where there is none it says nothing.
  @Test func autoTakesWhatWorks() throws {
    let activations = try DemoRun.activations.get()
    func device(_ settings: [String: String]) throws -> String {
      let outcome = try run("act-grad", DemoRun.modelFlag + ["--threads", "1"], activations, settings)
      #expect(outcome.status == 0)
      return String(outcome.errors.split(separator: "\n")[0])
    }
    #expect(try device([:]) == "act-grad: device: cuda:0, stand-in 0, 8192 MiB, products in float32")
    let old = try device(["STAND_IN_DRIVER": "11040"])
    #expect(old.hasPrefix("act-grad: device: cpu, threads: 1 (no GPU: ") && old.contains("found one for 11.4"))
    #expect(try device(["GRADIENT_FILTERS_CUDA": "/nonexistent"]) == "act-grad: device: cpu, threads: 1")
    let rounded = try run(
      "act-grad", DemoRun.modelFlag + ["--precision", "tf32"], activations, ["STAND_IN_DEVICES": "0"])
    #expect(rounded.failed(69, saying: "--precision tf32: cuda:0: expected a device below 0"), "\(rounded.errors)")
    let processor = try run("act-grad", DemoRun.modelFlag + ["--precision", "tf32", "--device", "cpu"], activations)
    #expect(processor.status == 64 && processor.errors.contains("expected float32 with --device cpu, found tf32"))
  }

  /// Activation gradients have no decoder to be multiplied by, and no GPU is opened for them.
  @Test func aggregatingActivationGradientsNeedsNoGPU() throws {
    let flags = ["--device", "cuda", "--precision", "tf32"]
    let outcome = try run(
      "grad-aggregate", flags, try DemoRun.gradients.get(), ["GRADIENT_FILTERS_CUDA": "/nonexistent"])
    #expect(outcome.status == 0, "\(outcome.errors)")
    // What nobody rounded is not said to be.
    let reader = StreamReader(try ReusedFile().opened(with: Array(outcome.output)))
    #expect(try reader.nextSegment(.aggregates)?.provenance["precision"] == nil)
  }

  @Test func kernelsAreCompiledOnce() throws {
    let folder = try TemporaryFolder()
    func compilations(_ more: [String: String] = [:]) throws -> Int {
      try? FileManager.default.removeItem(at: folder.url("log"))
      let settings = ["XDG_CACHE_HOME": folder.path, "STAND_IN_LOG": folder.file("log")].merging(more) { $1 }
      let flags = DemoRun.modelFlag + ["--layers", "0", "--device", "cuda", "--quiet"]
      let outcome = try run("qwen-capture", flags, try DemoRun.tokens(0..<1), settings)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let log = try String(contentsOf: folder.url("log"), encoding: .utf8)
      return log.split(separator: "\n").count { $0.hasPrefix("nvrtcCompileProgram --gpu-architecture=") }
    }
    #expect(try compilations() == 1)
    #expect(try compilations() == 0)
    // Another GPU, and one that is newer than the compiler.
    #expect(try compilations(["STAND_IN_CAPABILITY": "80"]) == 1)
    #expect(try compilations(["STAND_IN_CAPABILITY": "120"]) == 1)
    let kept = try FileManager.default.contentsOfDirectory(atPath: folder.file("gradient-filters"))
    #expect(kept.count == 3)
    for name in kept {
      let url = folder.url("gradient-filters").appendingPathComponent(name)
      var code = try Data(contentsOf: url)
      code[code.count / 2] ^= 1
      try code.write(to: url)
    }
    #expect(try compilations() == 1)
    #expect(try compilations() == 0)
    // A folder that cannot be written to costs the compilation and nothing else.
    #expect(try compilations(["XDG_CACHE_HOME": "/dev/null"]) == 1)
  }

  /// Passes of few rows where there is no room for more, with the same result.
  @Test(arguments: [("act-grad", DemoRun.modelFlag, "12000000"), ("sae-grad", saeFlags, "16000000")])
  func littleMemoryMakesSmallPasses(_ run: (program: String, flags: [String], memory: String)) throws {
    let flags = run.flags + ["--device", "cuda"]
    let activations = try DemoRun.activations.get()
    let outcome = try self.run(run.program, flags, activations, ["STAND_IN_MEMORY": run.memory])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let (found, expected) = try (
      averages(output("grad-aggregate", [], outcome.output)),
      averages(output("grad-aggregate", [], output(run.program, flags, activations)))
    )
    #expect(found.keys.sorted() == expected.keys.sorted() && !found.isEmpty)
    for (name, values) in found { #expect(relativeL2(values, expected[name]!) < 2e-6, "\(name)") }
  }

  /// Weights go up once, and what is in use does not grow with the samples.
  @Test func memoryDoesNotGrowWithSamples() throws {
    let folder = try TemporaryFolder()
    func calls(_ sampleCount: Int) throws -> (allocations: Int, bytesUp: Int, lastWords: String) {
      try? FileManager.default.removeItem(at: folder.url("log"))
      let samples = (0..<sampleCount).map { _ in (0..<128).map { Int32($0) } }
      let settings = ["STAND_IN_LOG": folder.file("log"), "STAND_IN_MEMORY": "100000000"]
      let flags = DemoRun.modelFlag + ["--layers", "0", "--device", "cuda"]
      let tokens = Data(try tokenStream(samples.map { [$0] }, firstSample: 0))
      let outcome = try run("qwen-capture", flags, tokens, settings)
      #expect(outcome.status == 0, "\(outcome.errors)")
      let lines = try String(contentsOf: folder.url("log"), encoding: .utf8).split(separator: "\n")
      let bytesUp = lines.filter { $0.hasPrefix("cuMemcpyHtoD_v2 ") }.reduce(0) {
        $0 + Int($1.split(separator: " ")[1])!
      }
      return (
        lines.count { $0.hasPrefix("cuMemAlloc_v2") }, bytesUp, String(outcome.errors.split(separator: "\n").last!)
      )
    }
    // A sample a pass, which so little memory is good for.
    let (few, many) = (try calls(4), try calls(20))
    #expect(few.lastWords == many.lastWords && few.lastWords.hasPrefix("qwen-capture: cuda:0: at most "))
    #expect(few.allocations == many.allocations)
    // What goes up with a pass: its embeddings, 512 rows of 256 numbers, and lists.
    #expect(many.bytesUp - few.bytesUp < 4 * 512 * (256 + 8) * 4)
  }
}
