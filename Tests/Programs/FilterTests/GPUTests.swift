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
    let found = try analyses(["--device", "cuda", "--precision", "float32"])
    for (found, expected) in zip(found, expected) {
      #expect(found.keys.sorted() == expected.keys.sorted() && found.count > 8)
      for (name, values) in found { #expect(relativeL2(values, expected[name]!) < 2e-6, "\(name)") }
    }
    #expect(try analyses(["--device", "cuda:1", "--precision", "float32"]) == found)
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

  /// Factors cut to 11 bits and rounded to 8: errors of about 2⁻¹¹ and 2⁻⁹, which the stream tells.
  @Test(arguments: [("tf32", "0 77", 1e-5...2e-3), ("bf16", "14 68", 1e-4...2e-2)])
  func lowerPrecisionIsTold(_ precision: (name: String, product: String, error: ClosedRange<Double>)) throws {
    let folder = try TemporaryFolder()
    let flags = DemoRun.modelFlag + ["--device", "cuda"]
    let activations = try DemoRun.activations.get()
    let exact = try output("act-grad", flags, activations)
    let lower = try run(
      "act-grad", flags + ["--precision", precision.name, "--quiet"], activations, ["STAND_IN_LOG": folder.file("log")])
    #expect(lower.status == 0, "\(lower.errors)")
    let (found, expected) = try (
      averages(output("grad-aggregate", [], lower.output)), averages(output("grad-aggregate", [], exact))
    )
    #expect(precision.error.contains(relativeL2(found["mean_abs.mlp_out.2"]!, expected["mean_abs.mlp_out.2"]!)))
    let together = try run("grad-aggregate", [], exact + lower.output)
    #expect(together.failed(65, saying: "precision: expected none as before, found \(precision.name)"))
    // What cuBLAS is given, and what it is asked to do with it.
    let products = try String(contentsOf: folder.url("log"), encoding: .utf8).split(separator: "\n").filter {
      $0.hasPrefix("cublasGemmEx ")
    }
    #expect(products.count > 20 && products.allSatisfy { $0.hasSuffix(" \(precision.product)") })
  }

  /// Once every kind of rows was split, those that make them find by what they are split: no kernel reads them for that,
  /// though gradients are brought down from between.
  @Test func rowsAreNotReadForTheirLargestMagnitude() throws {
    let folder = try TemporaryFolder()
    let samples = (0..<3).map { sample in (0..<100).map { Int32(sample * 131 + $0 * 17) % 4096 } }
    let tokens = Data(try tokenStream(samples.map { [$0] }, firstSample: 0))
    let activations = try DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--layers", "1"], tokens)
    // On so small a card a pass has 128 rows.
    let outcome = try run(
      "act-grad", DemoRun.modelFlag + ["--layers", "1,2", "--device", "cuda", "--precision", "split", "--quiet"],
      activations, ["STAND_IN_LOG": folder.file("log"), "STAND_IN_MEMORY": "100000000"])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let kernels = try String(contentsOf: folder.url("log"), encoding: .utf8).split(separator: "\n").compactMap { line in
      line.hasPrefix("cuLaunchKernel ") ? line.split(separator: " ")[1] : nil
    }
    let passes = kernels.split(separator: "cross_entropy_end", omittingEmptySubsequences: false)
    try #require(passes.count == 4)
    // The first pass back with the second one forward, and the second one back with the third one forward.
    #expect(passes[1].contains("largest_magnitude") && !passes[2].contains("largest_magnitude"))
    for pass in passes[1...2] { #expect(pass.count { $0 == "split_halves" } > 15) }
  }

  /// Neither does a GPU before compute capability 8.0 have.
  @Test(arguments: ["tf32", "bf16"]) func lowerPrecisionNeedsItsGPU(_ precision: String) throws {
    let words = "cuda:0: products in \(precision): expected a GPU of compute capability 8.0 or later, found 7.5"
    for (device, flag) in [("cuda", "--device cuda"), ("auto", "--precision \(precision)")] {
      let outcome = try run(
        "act-grad", DemoRun.modelFlag + ["--device", device, "--precision", precision],
        try DemoRun.activations.get(), ["STAND_IN_CAPABILITY": "75"])
      #expect(outcome.failed(69, saying: "\(flag): \(words)"), "\(outcome.errors)")
    }
  }

  /// Settings of the environment that change how cuBLAS multiplies are gone before it is opened.
  @Test func theEnvironmentDoesNotChangeProducts() throws {
    let folder = try TemporaryFolder()
    let settings = [
      "NVIDIA_TF32_OVERRIDE": "1", "CUBLAS_EMULATE_SINGLE_PRECISION": "1", "STAND_IN_LOG": folder.file("log"),
    ]
    let flags = DemoRun.modelFlag + ["--layers", "0", "--device", "cuda", "--quiet"]
    let outcome = try run("qwen-capture", flags, try DemoRun.tokens(0..<1), settings)
    #expect(outcome.status == 0, "\(outcome.errors)")
    let lines = try String(contentsOf: folder.url("log"), encoding: .utf8).split(separator: "\n")
    #expect(lines.contains("cublasCreate_v2 unset unset"))
  }

  private static let exclusive = ["STAND_IN_FAIL": "cuDevicePrimaryCtxRetain:1:46", "STAND_IN_MODE": "3"]
  /// What is in use before anything is loaded.
  private static let workspace = 32 << 20

  @Test(
    arguments: [
      ([:], "cuda:2", 69, "--device cuda: cuda:2: no such GPU: found 2 GPUs"),
      (["STAND_IN_DEVICES": "0"], "cuda", 69, "--device cuda: cuda:0: no such GPU: found 0 GPUs"),
      (
        ["GRADIENT_FILTERS_CUDA": "/nonexistent"], "cuda", 69,
        "--device cuda: cannot open libcublas.so.12: /nonexistent/libcublas.so.12: "
      ),
      (["STAND_IN_DRIVER": "11040"], "cuda", 69, "expected a driver for CUDA 11.8 or later, found one for 11.4"),
      (
        ["STAND_IN_TOOLKIT": "13000"], "cuda", 69,
        "libcublas.so: expected cuBLAS 11 to 12, because the driver is for CUDA 12, found version 13"
      ),
      (["STAND_IN_FAIL": "cuInit:1:999"], "cuda", 69, "--device cuda: cuInit: error 999"),
      (["STAND_IN_FAIL": "cuDevicePrimaryCtxRetain:1:2"], "cuda", 69, "cuDevicePrimaryCtxRetain: out of memory"),
      (
        exclusive, "cuda", 69,
        "cuda:0: another process is using this GPU, and its compute mode (exclusive process) allows only one"
      ),
      (["STAND_IN_FAIL": "cublasCreate_v2:1:3"], "cuda", 69, "libcublas.so: cublasCreate: status 3"),
      (["STAND_IN_FAIL": "cublasSetWorkspace_v2:1:7"], "cuda", 69, "libcublas.so: cublasSetWorkspace: status 7"),
      (["STAND_IN_FAIL": "cublasGemmEx:1:15"], "cuda", 69, "libcublas.so: cublasGemmEx: status 15"),
      (["STAND_IN_CAPABILITY": "50"], "cuda", 69, "expected a GPU of compute capability 7.0 or later, found 5.0"),
      (["STAND_IN_CAPABILITY": "61"], "cuda", 69, "expected a GPU of compute capability 7.0 or later, found 6.1"),
      (["STAND_IN_FAIL": "cuModuleLoadData:1:200", "XDG_CACHE_HOME": "/nonexistent"], "cuda", 69, "cuModuleLoadData"),
      (
        ["STAND_IN_FAIL": "nvrtcCompileProgram:1:7", "XDG_CACHE_HOME": "/nonexistent"], "cuda", 69,
        "libnvrtc.so: cannot compile, status 7, for --gpu-architecture=sm_90"
      ),
      (["STAND_IN_FAIL": "cuLaunchKernel:41:719"], "cuda", 74, "cuda:0: attention_64: unspecified launch failure"),
      (["STAND_IN_FAIL": "cuLaunchKernel:5:2"], "cuda", 71, ": out of memory"),
      (["STAND_IN_FAIL": "cublasGemmEx:9:13"], "cuda", 74, "cuda:0: cublasGemmEx: status 13"),
      (["STAND_IN_FAIL": "cublasGemmEx:3:3"], "cuda", 71, "cuda:0: cublasGemmEx: out of memory, status 3"),
      (["STAND_IN_FAIL": "cuMemcpyDtoHAsync_v2:2:700"], "cuda", 74, "cuMemcpyDtoHAsync: an illegal memory access"),
      (
        ["STAND_IN_MEMORY": "\(workspace + 8_000_000)"], "cuda", 71,
        "cuda:0: out of memory: 1015808 bytes more were needed: "
      ),
    ] as [([String: String], String, Int32, String)])
  func whatIsMissingIsNamed(
    _ failure: (settings: [String: String], device: String, status: Int32, words: String)
  ) throws {
    let arguments = DemoRun.modelFlag + ["--device", failure.device, "--precision", "float32"]
    let outcome = try run("act-grad", arguments, try DemoRun.activations.get(), failure.settings)
    #expect(outcome.failed(failure.status, saying: failure.words), "\(outcome.status): \(outcome.errors)")
  }

  /// auto takes a GPU that works; of one that does not work it says why; where there is none it says nothing.
  @Test func autoTakesWhatWorks() throws {
    let activations = try DemoRun.activations.get()
    func device(_ settings: [String: String]) throws -> String {
      let outcome = try run("act-grad", DemoRun.modelFlag + ["--threads", "1"], activations, settings)
      #expect(outcome.status == 0)
      return String(outcome.errors.split(separator: "\n")[0])
    }
    #expect(try device([:]) == "act-grad: device: cuda:0, stand-in 0, 8192 MiB, products in split")
    for (settings, words) in [
      (["STAND_IN_DRIVER": "11040"], "found one for 11.4"), (["STAND_IN_CAPABILITY": "61"], "found 6.1"),
      (["STAND_IN_FAIL": "cublasGemmEx:1:15"], "cublasGemmEx: status 15"), (Self.exclusive, "exclusive process"),
    ] {
      let line = try device(settings)
      #expect(line.hasPrefix("act-grad: device: cpu, threads: 1 (no GPU: ") && line.contains(words), "\(line)")
    }
    let folder = try TemporaryFolder()
    try Data("no driver".utf8).write(to: folder.url("libcuda.so.1"))
    #expect(try device(["LD_LIBRARY_PATH": folder.path]) == "act-grad: device: cpu, threads: 1")
    let rounded = try run(
      "act-grad", DemoRun.modelFlag + ["--precision", "tf32"], activations, ["STAND_IN_DEVICES": "0"])
    #expect(rounded.failed(69, saying: "--precision tf32: cuda:0: no such GPU: found 0 GPUs"), "\(rounded.errors)")
    let processor = try run("act-grad", DemoRun.modelFlag + ["--precision", "tf32", "--device", "cpu"], activations)
    #expect(
      processor.status == 64 && processor.errors.contains("expected auto or float32 with --device cpu, found tf32"))
  }

  /// Activation gradients have no decoder to be multiplied by, and no GPU is opened for them.
  @Test func aggregatingActivationGradientsNeedsNoGPU() throws {
    let flags = ["--device", "cuda", "--precision", "tf32"]
    let outcome = try run(
      "grad-aggregate", flags, try DemoRun.gradients.get(), ["STAND_IN_DEVICES": "0"])
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
  @Test(
    arguments: [
      ("act-grad", DemoRun.modelFlag, workspace + 12_000_000), ("sae-grad", saeFlags, workspace + 16_000_000),
    ])
  func littleMemoryMakesSmallPasses(_ run: (program: String, flags: [String], memory: Int)) throws {
    let flags = run.flags + ["--device", "cuda"]
    let activations = try DemoRun.activations.get()
    let outcome = try self.run(run.program, flags, activations, ["STAND_IN_MEMORY": "\(run.memory)"])
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

  /// 6 samples of 128 tokens through two layers and back.
  private func manyRows(_ settings: [String: String]) throws -> Program.Outcome {
    let outcome = try run(
      "act-grad", DemoRun.modelFlag + ["--layers", "1,2", "--device", "cuda", "--precision", "float32"],
      try Self.manyActivations.get(), settings)
    #expect(outcome.status == 0, "\(outcome.errors)")
    return outcome
  }

  private static let manyActivations = Result {
    let samples = (0..<6).map { sample in (0..<128).map { Int32(sample * 131 + $0 * 17) % 4096 } }
    let tokens = Data(try tokenStream(samples.map { [$0] }, firstSample: 0))
    return try DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--layers", "1"], tokens)
  }

  /// A card on which those passes have 512 rows, and what they take of it.
  private static let card = Result {
    let folder = try TemporaryFolder()
    _ = try Program("act-grad").run(
      DemoRun.modelFlag + ["--layers", "1,2", "--device", "cuda", "--precision", "float32"],
      input: try manyActivations.get(),
      environment: StandInGPU.environment(["STAND_IN_LOG": folder.file("log")]))
    let log = try String(contentsOf: folder.url("log"), encoding: .utf8).split(separator: "\n")
    let sizes = log.filter { $0.hasPrefix("cuMemAlloc_v2 ") }.map { Int($0.split(separator: " ")[1])! }
    // 16 pieces are set aside for 8,192 rows and the logits, when all weights are there.
    let first = try #require(sizes.indices.dropLast(15).first { Set(sizes[$0..<$0 + 16]).count == 1 })
    let (held, used) = (256 << 20, sizes[..<first].reduce(0, +))
    let bytesPerRow = (16 * sizes[first] - held) / 8192
    return (
      bytes: used + 2 * (700 * bytesPerRow + held), free: used + 512 * bytesPerRow + held, bytesPerRow: bytesPerRow
    )
  }

  /// How many rows a pass has decides in which order a product sums; what neighbours on the card have does not.
  @Test func neighboursChangeNoBit() throws {
    let card = try Self.card.get()
    let alone = try manyRows(["STAND_IN_MEMORY": "\(card.bytes)"])
    // As little is left as the passes take.
    for taken in [card.bytes / 4, card.bytes - card.free - 100_000] {
      let beside = try manyRows(["STAND_IN_MEMORY": "\(card.bytes)", "STAND_IN_TAKEN": "\(taken)"])
      #expect(beside.output == alone.output && !beside.errors.contains("rows instead of"), "\(beside.errors)")
    }
    #expect(try manyRows(["STAND_IN_MEMORY": "\(card.bytes + 500 * card.bytesPerRow)"]).output == alone.output)
    // On a card of quite another size the stand-in's sums are other ones, as a GPU's may be.
    #expect(try manyRows([:]).output != alone.output)
  }

  /// Where neighbours leave less than the passes were to have, they have half of that, and the run says so.
  @Test func rowsAreHalvedWhereMemoryIsTaken() throws {
    let card = try Self.card.get()
    let taken = card.bytes - card.free + 128 * card.bytesPerRow
    let outcome = try manyRows(["STAND_IN_MEMORY": "\(card.bytes)", "STAND_IN_TAKEN": "\(taken)"])
    let words = "passes of 256 rows instead of 512, because other programs took memory"
    #expect(outcome.errors.contains(words), "\(outcome.errors)")
    let (found, expected) = try (
      averages(output("grad-aggregate", [], outcome.output)),
      averages(output("grad-aggregate", [], manyRows([:]).output))
    )
    #expect(found.keys.sorted() == expected.keys.sorted() && !found.isEmpty)
    for (name, values) in found { #expect(relativeL2(values, expected[name]!) < 2e-6, "\(name)") }
  }

  /// Whatever a process makes on a GPU it gives back.
  @Test(arguments: [("act-grad", DemoRun.modelFlag), ("sae-grad", saeFlags)])
  func everythingIsGivenBack(_ program: (name: String, flags: [String])) throws {
    let folder = try TemporaryFolder()
    let outcome = try run(
      program.name, program.flags + ["--device", "cuda"], try DemoRun.activations.get(),
      ["STAND_IN_LOG": folder.file("log")])
    #expect(outcome.status == 0, "\(outcome.errors)")
    let lines = try String(contentsOf: folder.url("log"), encoding: .utf8).split(separator: "\n")
    let calls = Dictionary(lines.map { ($0.split(separator: " ")[0], 1) }, uniquingKeysWith: +)
    for (made, gone) in [
      ("cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease_v2"), ("cublasCreate_v2", "cublasDestroy_v2"),
      ("cuModuleLoadData", "cuModuleUnload"), ("cuStreamCreate", "cuStreamDestroy_v2"),
      ("cuEventCreate", "cuEventDestroy_v2"), ("cuMemAlloc_v2", "cuMemFree_v2"), ("cuMemAllocHost_v2", "cuMemFreeHost"),
      ("cuCtxPushCurrent_v2", "cuCtxPopCurrent_v2"),
    ] as [(Substring, Substring)] {
      #expect(calls[made] ?? 0 > 0 && calls[made] == calls[gone], "\(made): \(calls[made] ?? 0), \(calls[gone] ?? 0)")
    }
  }
}
