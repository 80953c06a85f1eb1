import Foundation
import TestSupport
import Testing

/// The pipelines, run on the small model as a user runs them. One at a time: each is a job of many processes.
@Suite(.serialized) struct DropInPipelineTests {
  private static let model = "\(packageRoot)/demo/model"
  private static let autoencoders = "\(packageRoot)/demo/saes"
  private static let pattern = "\(autoencoders)/mlp_out_layer_{layer}/trainer_0"
  private static let modelInNames = model.map { $0 == "/" ? "_" : String($0) }.joined()
  /// A job small enough to be run many times; one thread, so that bits can be compared.
  private static let job = [
    "--model_name", model, "--text", "\(packageRoot)/demo/sample.txt", "--num_samples", "8", "--max_length", "32",
    "--threads", "1",
  ]

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  // MARK: - Running

  /// Runs a command line in the test's folder, whose `bin` comes first on the PATH, with `tmp` for temporary files.
  private func shell(_ command: String) throws -> Program.Outcome {
    try FileManager.default.createDirectory(atPath: folder.file("tmp"), withIntermediateDirectories: true)
    return try Program.shell("cd \(folder.path) || exit; export TMPDIR=$PWD/tmp PATH=$PWD/bin:$PATH\n\(command)")
  }

  private func line(_ script: String, _ arguments: [String]) -> String {
    let words = ["\(packageRoot)/pipelines/\(script)"] + arguments
    return words.map { "'\($0)'" }.joined(separator: " ")
  }

  private func analyse(_ unit: Unit, _ arguments: [String] = []) throws -> Program.Outcome {
    let own = unit == .feature && !arguments.contains("--sae") ? ["--sae", Self.pattern] : []
    return try shell(line(unit.script, Self.job + own + arguments))
  }

  enum Unit: String, CaseIterable {
    case feature, activation

    var script: String { self == .feature ? "sae-gradient-analysis" : "layer-gradient-analysis" }
    var prefix: String { self == .feature ? "model_" : "layer_activations_model_" }
  }

  private func names(_ path: String = "") throws -> Set<String> {
    Set(try FileManager.default.contentsOfDirectory(atPath: folder.file(path)))
  }

  /// The folders that runs have left, oldest first.
  private func results() throws -> [String] {
    try names().filter { $0.contains("_num_samples_") }.sorted()
  }

  /// The arrays of a folder by name.
  private func arrays(_ path: String) throws -> [String: Data] {
    var arrays: [String: Data] = [:]
    for name in try names(path) where name.hasSuffix(".npy") {
      arrays[name] = try Data(contentsOf: folder.url("\(path)/\(name)"))
    }
    return arrays
  }

  /// A program that is found before the real one: beside the engine, and first on the PATH.
  private func replace(_ program: String, by script: String) throws {
    try FileManager.default.createDirectory(atPath: folder.file("bin"), withIntermediateDirectories: true)
    if !FileManager.default.fileExists(atPath: folder.file("bin/gradient-run")) {
      try FileManager.default.copyItem(atPath: Program("gradient-run").path, toPath: folder.file("bin/gradient-run"))
    }
    let path = folder.file("bin/\(program)")
    try Data("#!/bin/bash\nreal=\(Program(program).path)\n\(script)\n".utf8).write(to: URL(fileURLWithPath: path))
    try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
  }

  private func expect(_ outcome: Program.Outcome, _ status: Int32 = 0, location: SourceLocation = #_sourceLocation) {
    #expect(outcome.status == status, "\(outcome.errors)", sourceLocation: location)
  }

  // MARK: - What they leave and print

  private static func files(_ unit: Unit, _ mode: String, layers: [Int]) -> Set<String> {
    let modes = mode == "both" ? ["mean", "mean_abs"] : [mode]
    var names: Set<String> = ["run.json", "aggregates.ts"]
    for mode in modes {
      names.formUnion([
        "all_layers_\(mode)_gradient_histograms.png", "all_layers_\(mode)_\(unit.rawValue)_scatter.png",
      ])
      for layer in layers {
        names.formUnion([
          "layer_\(layer)_\(mode)_gradients.npy", "layer_\(layer)_\(mode)_gradient_hist.png",
          "layer_\(layer)_\(mode)_\(unit.rawValue)_scatter.png",
        ])
      }
    }
    if mode == "both" {
      for layer in layers {
        names.formUnion(["layer_\(layer)_gradient_hist_combined.png", "layer_\(layer)_gradient_scatter_combined.png"])
      }
    }
    return names
  }

  @Test(arguments: Unit.allCases, ["mean", "mean_abs", "both"])
  func theFilesAndLinesOfTheScripts(unit: Unit, mode: String) throws {
    let outcome = try analyse(
      unit, ["--layers", "1,3", "--aggregation_mode", mode, "--save_outputs", "--batch-size=3"])
    expect(outcome)
    let name = try #require(try results().first)
    let pattern =
      "^\(unit.prefix)\(Self.modelInNames)_num_samples_8_batch_size_3_layers_1to3_[0-9]{8}_[0-9]{6}$"
    #expect(name.range(of: pattern, options: .regularExpression) != nil, "\(name)")
    #expect(try names(name) == Self.files(unit, mode, layers: [1, 3]))
    #expect(try names() == ["tmp", name] && names("tmp").isEmpty)

    let number = "-?([0-9]+\\.[0-9]{6}|[1-9]\\.[0-9]{2}e-[0-9]{2,3})"
    let lines: [String]
    switch mode {
    case "mean_abs":
      lines = ["Layer L: Mean abs gradient = \(number), Max gradient = \(number), Std gradient = \(number)"]
    case "mean":
      lines = ["Layer L: Mean gradient = \(number), Max gradient = \(number), Std gradient = \(number)"]
    default:
      lines = [
        "Layer L:", "  Mean gradient \\(signed\\) = \(number), Max = \(number), Std = \(number)",
        "  Mean gradient \\(abs\\) = \(number), Max = \(number), Std = \(number)",
      ]
    }
    let expected = [1, 3].flatMap { layer in lines.map { $0.replacingOccurrences(of: "L:", with: "\(layer):") } }
    let printed = outcome.text.split(separator: "\n").map(String.init)
    #expect(printed.count == expected.count, "\(outcome.text)")
    for (line, pattern) in zip(printed, expected.map { $0.replacingOccurrences(of: "Layer L", with: "Layer ") }) {
      #expect(line.range(of: "^\(pattern)$", options: .regularExpression) != nil, "\(line)")
    }
    let values = try NumPyArray(
      path: folder.file("\(name)/layer_3_\(mode == "mean" ? mode : "mean_abs")_gradients.npy"))
    #expect(values.shape == [unit == .feature ? 1024 : 128])
  }

  @Test func theRecordTellsHowToRunItAgain() throws {
    expect(try analyse(.feature, ["--layers", "2", "--save_outputs", "--match-python", "--stride", "2", "--quiet"]))
    let text = try Data(contentsOf: folder.url("\(try results()[0])/run.json"))
    let record = try #require(try JSONSerialization.jsonObject(with: text) as? [String: Any])
    let pipeline = try #require((record["pipeline"] as? [String])?.first)
    for flags in [
      "--padding max-length ", "--stride-scope batch ", "--loss-reduction batch --weighting batch ", "--stride 2 ",
    ] {
      #expect(pipeline.contains(flags), "\(flags): \(pipeline)")
    }
    let inputs = try #require(record["inputs"] as? [[String: Any]])
    let paths = inputs.compactMap { $0["path"] as? String }
    for name in ["sample.txt", "tokenizer.json", "model.safetensors", "mlp_out_layer_2/trainer_0/ae.pt"] {
      #expect(paths.contains { $0.hasSuffix(name) }, "\(paths)")
    }
    let sum = try Program.shell("sha256sum < \(packageRoot)/demo/sample.txt").text.prefix(64)
    #expect(inputs[0]["sha256"] as? String == String(sum))
    #expect(record["device"] as? String == "cpu, threads: 1")
    #expect((record["directory"] as? String)?.hasSuffix(folder.url("").lastPathComponent) == true)
    let programs = try #require(record["programs"] as? [String: [String: String]])
    #expect(Set(programs.keys) == ["wt-tokenize", "qwen-capture", "sae-grad", "grad-aggregate", "grad-plot"])
    let plot = try Program.shell("sha256sum < \(Program("grad-plot").path)").text.prefix(64)
    #expect(programs["grad-plot"]?["sha256"] == String(plot))
    // The command line it names does the same: the same bits.
    let command = try #require(record["command"] as? String)
    expect(try shell("\(packageRoot)/pipelines/\(command) --output-dir again"))
    let again = try #require(try names("again").first)
    #expect(try arrays("again/\(again)") == arrays(try results()[0]))
  }

  @Test(arguments: [["--jobs", "1"], ["-P2"], ["--work-dir", "work"]])
  func nothingIsWrittenUnlessAsked(flags: [String]) throws {
    let outcome = try analyse(.feature, ["--layers", "0 , 2"] + flags)
    expect(outcome)
    #expect(outcome.text.split(separator: "\n").count == 2)
    #expect(try names().subtracting(["work"]) == ["tmp"] && names("tmp").isEmpty)
  }

  // MARK: - Autoencoders that are missing or must be found

  @Test func layersWithoutAutoencodersAreSkippedAndNamed() throws {
    try FileManager.default.createDirectory(atPath: folder.file("saes"), withIntermediateDirectories: true)
    expect(try shell("cp -r \(Self.autoencoders)/mlp_out_layer_[03] saes && mkdir -p saes/mlp_out_layer_1/trainer_0"))
    let pattern = folder.file("saes/mlp_out_layer_{layer}/trainer_0")
    let outcome = try analyse(.feature, ["--layers", "0-3", "--sae", pattern, "--save_outputs"])
    expect(outcome, 66)
    #expect(outcome.errors.contains("layer 1: skipped: no autoencoder: \(folder.file("saes/mlp_out_layer_1"))"))
    #expect(outcome.errors.hasSuffix("their autoencoders are missing: 1-2\n"), "\(outcome.errors)")
    #expect(outcome.text.split(separator: "\n").count == 2)
    #expect(try names(try results()[0]) == Self.files(.feature, "mean_abs", layers: [0, 3]))

    let none = try analyse(.feature, ["--layers", "1-2", "--sae", pattern, "--save_outputs"])
    expect(none, 66)
    #expect(try none.output.isEmpty && results().count == 1)
  }

  @Test func autoencodersAreFoundInHiddenFoldersAndBehindLinks() throws {
    expect(try shell("mkdir ._demo && ln -s \(Self.autoencoders) ._demo/trained"))
    let script = line("sae-gradient-analysis", Self.job + ["--layers", "0"])
    let found = try shell(script)
    expect(found)
    #expect(found.errors.contains("autoencoders: ._demo/trained/mlp_out_layer_{layer}/trainer_0"), "\(found.errors)")
    expect(try shell("cp -rL ._demo/trained other"))
    let several = try shell(script)
    expect(several, 64)
    #expect(several.errors.contains("or --sae './other/mlp_out_layer_{layer}/trainer_0'"), "\(several.errors)")
    let none = try shell("mkdir empty && cd empty && \(script)")
    expect(none, 66)
  }

  // MARK: - Wrong usage and programs that fail

  @Test(arguments: [
    (["--layers", "4"], 64, "layer 4: the model's last layer is 3"),
    (["--layers", "3-1"], 64, "found '3-1': the first layer of 3-1 is larger than the last"),
    (["--layers", "1,"], 64, "found '1,'"), (["--num_samples", "0"], 64, "found 0"),
    (["--num_samples=1e3"], 64, "found '1e3'"), (["--aggregation_mode", "max"], 64, "mean_abs, mean or both"),
    (["--device=tpu"], 64, "found 'tpu'"), (["--save_outputs=yes"], 64, "expected no value, found 'yes'"),
    (["--layers="], 64, "expected a value"), (["--bogus"], 64, "no such option"), (["--sae", "x"], 64, "--sae"),
    (["--text", "--quiet"], 64, "--text: expected a value, found none"), (["--explain"], 64, "--work-dir"),
    (["--output-dir", "/proc/x"], 74, "/proc/x"), (["--work-dir", "/proc/x"], 74, "/proc/x"),
    (["--text", "a\nb"], 66, "a\\nb: cannot open"), (["--model-name", "/"], 66, "config.json"),
    (["--text", "missing.raw"], 66, "missing.raw: cannot open"),
    (["--model-name", "Owner/Missing"], 66, "hf download Owner/Missing"),
    (["--device", "cuda:12"], 69, ": --device cuda"), (["--device", "cuda:"], 64, "found 'cuda:'"),
    (["--device", "cuda:12", "--work-dir", "w"], 69, "--device cuda"), (["--precision", "half"], 64, "found 'half'"),
    (["--device", "cpu", "--precision", "tf32"], 64, "found tf32"),
  ])
  func mistakesAreNamed(flags: [String], status: Int32, message: String) throws {
    let outcome = try analyse(.activation, ["--layers", "0", "--save_outputs"] + flags)
    expect(outcome, Int32(status))
    #expect(outcome.errors.contains(message), "\(outcome.errors)")
    // Every line is the command's own, or a program's: nothing of a shell and its helpers.
    #expect(
      outcome.errors.split(separator: "\n").allSatisfy { line in
        ["layer-gradient-analysis", "wt-tokenize", "qwen-capture", "act-grad"].contains {
          line.hasPrefix("\($0): ") || line == "see \($0) --help"
        }
      }, "\(outcome.errors)")
    #expect(try names().subtracting(["w"]) == ["tmp"])
  }

  /// In a first run, with the commands that bring it.
  @Test func everythingThatIsMissingIsSaidAtOnce() throws {
    let outcome = try shell(line("sae-gradient-analysis", ["--model-name", "Owner/Missing", "--text", "missing.raw"]))
    expect(outcome, 66)
    for words in ["hf download Owner/Missing", "pipelines/fetch text", "use --sae to say where"] {
      #expect(outcome.errors.contains(words), "\(words): \(outcome.errors)")
    }
    #expect(outcome.errors.split(separator: "\n").count == 3, "\(outcome.errors)")
  }

  @Test func theDefaultLayersAreThoseOfTheScripts() throws {
    let outcome = try analyse(.activation)
    expect(outcome, 64)
    #expect(outcome.errors.contains("0-3: use --layers all"), "\(outcome.errors)")
    #expect(outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
  }

  /// Standard error that is full or closed ends nothing and hides no exit code; of standard output it is said.
  @Test(arguments: [
    ("2> /dev/full", 0), ("2>&-", 0), ("> /dev/full", 74), ("--num_samples 0 2> /dev/full", 64),
    ("--text missing 2>&-", 66),
  ])
  func standardStreamsMayFail(redirection: String, status: Int32) throws {
    let script = line("layer-gradient-analysis", Self.job + ["--layers", "0"])
    expect(try shell("\(script) \(redirection)"), status)
  }

  // MARK: - What a plan is good for

  @Test(arguments: [[], ["--work-dir", "work"], ["--use-error-term", "--work-dir", "work"]])
  func theScriptOfADryRunLeavesTheSameArrays(flags: [String]) throws {
    try omitPictures()
    let common = ["--layers", "1,3", "--save_outputs"] + flags
    let script = try analyse(.feature, common + ["--output-dir", "by script", "--dry-run"])
    expect(script)
    #expect(try names() == ["tmp", "bin"])
    try script.output.write(to: folder.url("script"))
    expect(try shell("bash script"))
    expect(try analyse(.feature, common + ["--output-dir", "by run"]))
    func result(_ folder: String) throws -> [String: Data] {
      let name = try #require(try names(folder).first)
      #expect(name.contains("_layers_1to3_2"))
      return try arrays("\(folder)/\(name)")
    }
    let expected = try result("by run")
    #expect(try result("by script") == expected && expected.count == 2)
  }

  @Test func explainNamesWhatDiffers() throws {
    let flags = ["--layers", "0", "--work-dir", "work", "--quiet"]
    expect(try analyse(.feature, flags))
    let outcome = try analyse(.feature, flags + ["--stride", "2", "--explain"])
    expect(outcome)
    #expect(
      outcome.errors.contains("gradients-sae-grad-layer-0: has to run: --stride was 4, is 2\n"), "\(outcome.errors)")
    #expect(outcome.errors.contains("activations-layer-0: up to date: "), "\(outcome.errors)")
    // What was there still is: nothing was overwritten.
    let again = try analyse(.feature, flags + ["--explain", "--dry-run"])
    #expect(again.errors.split(separator: "\n").count == 4 && !again.errors.contains("has to run"), "\(again.errors)")
  }

  @Test func singleStepsGoOnWithARun() throws {
    try omitPictures()
    try replace("sae-grad", by: "[ -e go ] || exit 70; exec $real \"$@\"")
    let flags = ["--layers", "1-2", "--work-dir", "work", "--save_outputs"]
    expect(try analyse(.feature, flags), 70)
    let status = try shell("gradient-run status --work-dir work && touch go")
    #expect(status.text.contains("activations: 2 of 2\ngradients: 0 of 2\n"), "\(status.text)")
    let keys = status.text.split(separator: "\n").filter { $0.hasPrefix("  ") }.map { $0.split(separator: " ")[1] }
    #expect(keys.count == 5)
    // Not before what it needs.
    expect(try shell("gradient-run step --work-dir work \(keys[3])"), 66)
    for key in keys.dropLast() { expect(try shell("gradient-run step -q --work-dir work \(key)")) }
    #expect(try shell("gradient-run status --work-dir work").text.contains("gradients: 2 of 2\nsums: 2 of 2\n"))
    expect(try shell("gradient-run step --work-dir work 0123456789abcdef"), 64)
    let results = try shell("gradient-run step -q --work-dir work --output out \(keys[4])")
    #expect(results.text.hasPrefix("Layer 1: Mean abs") && results.text.split(separator: "\n").count == 2)
    let arrays = try arrays("out")
    // Never into a folder that holds another run's layers.
    expect(try shell("gradient-run step -q --work-dir work --output out \(keys[4])"), 64)
    #expect(try self.arrays("out") == arrays && arrays.count == 2)
    let rest = try analyse(.feature, flags)
    expect(rest)
    #expect(rest.errors.contains("[4/5] sums: layers 1-2 there"), "\(rest.errors)")
  }

  /// Of a pipeline whose programs all fail, the one to blame is told from those that suffer.
  @Test(arguments: [[], ["--work-dir", "work"]])
  func theFailureOfAProgramIsTheScripts(flags: [String]) throws {
    try replace("act-grad", by: "head -c 5000 > /dev/null; echo 'act-grad: out of luck' >&2; exit 70")
    let outcome = try analyse(.activation, ["--layers", "0-1", "--save_outputs"] + flags)
    expect(outcome, 70)
    #expect(outcome.errors.contains("act-grad: out of luck\n"))
    #expect(!outcome.errors.contains("grad-aggregate:") && outcome.output.isEmpty, "\(outcome.errors)")
    #expect(try results().isEmpty)

    try replace("act-grad", by: "kill -KILL $$")
    let killed = try analyse(.activation, ["--layers", "0-1", "--save_outputs"] + flags)
    expect(killed, 137)
    #expect(killed.errors.contains("act-grad: ended by signal 9"), "\(killed.errors)")
    #expect(!killed.errors.contains("grad-aggregate:"))
    #expect(try names().subtracting(["work"]) == ["tmp", "bin"])
  }

  @Test func aSignalEndsTheProgramsToo() throws {
    try replace("act-grad", by: "echo $$ > pid; exec sleep 600")
    let script = line("layer-gradient-analysis", Self.job + ["--layers", "0", "--save_outputs"])
    let outcome = try shell(
      """
      # This test's process may have been started with signals blocked, and its children inherit that.
      perl -MPOSIX -e 'sigprocmask(SIG_SETMASK, POSIX::SigSet->new); exec @ARGV' \(script) &
      for i in $(seq 400); do [ -s pid ] && break; sleep 0.05; done
      kill $!; status=0; wait $! || status=$?
      for i in $(seq 100); do kill -0 $(cat pid) 2>/dev/null || exit $status; sleep 0.05; done; exit 1
      """)
    expect(outcome, 143)
    #expect(try names() == ["tmp", "bin", "pid"])
  }

  // MARK: - Caching

  /// For tests that look at arrays only: pictures take most of so small a job's time.
  private func omitPictures() throws {
    try replace("grad-plot", by: "[ \"$1\" != --version ] || exec $real $1; cat > /dev/null")
  }

  /// Inodes of the streams in the work directory, by the beginning of their names.
  private func streams(_ kind: String) throws -> [String: UInt64] {
    var streams: [String: UInt64] = [:]
    for name in try names("work") where name.hasPrefix(kind) && name.hasSuffix(".ts") {
      streams[name] = try #require(
        FileManager.default.attributesOfItem(atPath: folder.file("work/\(name)"))[.systemFileNumber] as? UInt64)
    }
    return streams
  }

  @Test func aRerunMakesWhatIsMissingOnly() throws {
    try omitPictures()
    let flags = ["--layers", "1-3", "--save_outputs"]
    expect(try analyse(.feature, flags))
    let expected = try arrays(try results()[0])
    #expect(expected.count == 3)

    // A cached run of fewer layers first: more layers then use what is there.
    expect(try analyse(.feature, ["--layers", "1,3", "--work-dir", "work"]))
    let cached = ["--output-dir", "out", "--work-dir", "work"] + flags
    let more = try analyse(.feature, cached)
    expect(more)
    #expect(more.errors.contains("[2/5] activations: layers 1,3 there, layers 2 made"), "\(more.errors)")
    #expect(more.errors.contains("[3/5] gradients: layers 1,3 there, layers 2 made"), "\(more.errors)")
    func result() throws -> [String: Data] {
      let name = try #require(try names("out").first)
      let result = try arrays("out/\(name)")
      try FileManager.default.removeItem(atPath: folder.file("out"))
      return result
    }
    #expect(try result() == expected)

    // Whatever is lost is made again where something needs it, and nothing else is touched.
    let stages = ["tokens", "activations", "gradients", "sums"]
    let all = try streams("")
    #expect(all.count == 10)
    for (first, stage) in stages.enumerated() {
      // Streams of two layers, from this stage on.
      let lost = try stages[first...].flatMap { try streams($0).keys.sorted().prefix(2) }
      let before = try streams("")
      for name in lost { try FileManager.default.removeItem(atPath: folder.file("work/\(name)")) }
      let outcome = try analyse(.feature, cached)
      expect(outcome)
      for (index, other) in stages.enumerated() {
        let isMade = outcome.errors.split(separator: "\n").contains {
          $0.contains("] \(other): ") && $0.contains(" made (")
        }
        #expect(isMade == (index >= first), "\(stage), \(other): \(outcome.errors)")
      }
      let now = try streams("")
      #expect(Set(now.keys) == Set(all.keys))
      #expect(before.filter { !lost.contains($0.key) }.allSatisfy { now[$0.key] == $0.value })
      #expect(try result() == expected)
    }

    // The large streams may go when nothing more is to be made of them.
    expect(try shell("rm work/activations-*.ts work/tokens-*.ts work/gradients-*-layer-1-*.ts"))
    let pruned = try analyse(.feature, cached)
    expect(pruned)
    #expect(pruned.errors.contains("[2/5] activations: not needed ("), "\(pruned.errors)")
    #expect(pruned.errors.contains("[3/5] gradients: layers 2-3 there, the others not needed ("), "\(pruned.errors)")
    #expect(try result() == expected && streams("").count == 5)
  }

  @Test func aChangeMakesOnlyWhatDependsOnIt() throws {
    let text = folder.file("text.raw")
    try FileManager.default.copyItem(atPath: "\(packageRoot)/demo/sample.txt", toPath: text)
    let flags = ["--layers", "0", "--work-dir", "work", "--text", text]
    /// The stages that a run makes anew.
    func made(_ more: [String]) throws -> [String] {
      let outcome = try analyse(.feature, flags + more)
      expect(outcome)
      return ["tokens", "activations", "gradients", "sums"].filter {
        outcome.errors.contains("] \($0): made (") || outcome.errors.contains("] \($0): layers 0 made (")
      }
    }
    #expect(try made([]) == ["tokens", "activations", "gradients", "sums"])
    #expect(try made([]) == [])
    #expect(try made(["--aggregation_mode", "mean"]) == ["sums"])
    #expect(try made(["--stride", "2"]) == ["gradients", "sums"])
    #expect(try made(["--batch_size", "2"]) == ["tokens", "activations", "gradients", "sums"])
    #expect(try made([]) == [])
    // The same text under another time stamp is the same text; one letter more is not.
    expect(try shell("touch text.raw"))
    #expect(try made([]) == [])
    expect(try shell("sed -i 's/ the / they /' text.raw"))
    #expect(try made([]) == ["tokens", "activations", "gradients", "sums"])
  }

  @Test func theErrorTermAndActivationsRunOnceForAllLayers() throws {
    try omitPictures()
    let flags = ["--layers", "1-3", "--save_outputs"]
    for (unit, own) in [(Unit.feature, ["--use-error-term"]), (.activation, [])] {
      let output = ["--output-dir", unit.rawValue]
      expect(try analyse(unit, flags + own + output))
      expect(try analyse(unit, flags + own + output + ["--work-dir", "work", "--jobs", "3"]))
      let folders = try names(unit.rawValue).sorted()
      #expect(folders.count == 2)
      #expect(try arrays("\(unit)/\(folders[0])") == arrays("\(unit)/\(folders[1])"))
      #expect(try arrays("\(unit)/\(folders[0])").count == 3)
    }
    #expect(try streams("tokens").count == 1 && streams("gradients").count == 2)
  }

  /// What was cut short is made again; damage that its record does not show is found by its reader, and named.
  @Test func damagedStreamsAreNotUsed() throws {
    let flags = ["--layers", "0", "--work-dir", "work", "--save_outputs"]
    expect(try analyse(.activation, flags))
    let expected = try arrays(try results()[0])
    let name = try #require(try streams("activations").keys.first)
    let damage = "rm -f work/gradients-*.ts work/sums-*.ts && truncate -s -100 work/\(name)"
    expect(try shell(damage))
    let again = try analyse(.activation, flags)
    expect(again)
    #expect(again.errors.contains("[2/5] activations: made"), "\(again.errors)")
    #expect(try arrays(try results().last!) == expected)

    expect(
      try shell(
        """
        \(damage)
        times=$(stat -c '%d:%i:%s:%.9Y:%.9Z' work/\(name) | sed -E 's/[.]0*([0-9])/.\\1/g')
        sed -i "s/^file .*/file $times/" work/\(name).record
        """))
    let outcome = try analyse(.activation, flags)
    expect(outcome, 65)
    #expect(outcome.errors.contains("if work/\(name) is damaged, remove it"), "\(outcome.errors)")
    #expect(try results().count == 2 && streams("gradients").isEmpty)
    expect(try shell("rm work/\(name)"))
    expect(try analyse(.activation, flags))
  }

  /// A checkpoint whose files have names of their own, and an autoencoder's settings in the folder above.
  @Test func contentsCountWhereverTheyLie() throws {
    try omitPictures()
    expect(
      try shell(
        """
        cp -r \(Self.model) model && mv model/model.safetensors model/weights-of-it.safetensors
        cp -r \(Self.autoencoders)/mlp_out_layer_0/trainer_0 sae && mkdir sae/checkpoints && mv sae/ae.pt sae/checkpoints
        echo '{"weight_map": {"x": "weights-of-it.safetensors"}}' > model/model.safetensors.index.json
        """))
    let flags = ["--model-name", "model", "--sae", "sae/checkpoints/ae.pt", "--layers", "0", "--work-dir", "work"]
    func made() throws -> [String] {
      let outcome = try analyse(.feature, flags)
      expect(outcome)
      return ["tokens", "activations", "gradients", "sums"].filter {
        outcome.errors.contains("] \($0): made (") || outcome.errors.contains("] \($0): layers 0 made (")
      }
    }
    #expect(try made() == ["tokens", "activations", "gradients", "sums"])
    #expect(try made() == [])
    // A byte of a weight; size and name stay.
    expect(
      try shell(
        """
        weights=model/weights-of-it.safetensors
        printf Z | dd of=$weights bs=1 seek=$(($(stat -c %s $weights) - 4)) conv=notrunc status=none
        """))
    #expect(try made() == ["activations", "gradients", "sums"])
    expect(try shell("sed -i 's/^{/{ /' sae/config.json"))
    #expect(try made() == ["gradients", "sums"])
  }

  /// Two runs that end in the same second leave a folder each.
  @Test func runsOfTheSameSecondBothComplete() throws {
    try omitPictures()
    let script = line("layer-gradient-analysis", Self.job + ["--layers", "0-1", "--save_outputs", "--quiet"])
    expect(
      try shell(
        """
        until [ $(date +%N | cut -c1) = 0 ]; do sleep 0.01; done
        \(script) & first=$!
        \(script) & wait $! && wait $first
        """))
    #expect(try results().count == 2)
    for name in try results() { #expect(try arrays(name).count == 2 && names(name).contains("run.json")) }
  }

  @Test func runsShareAWorkDirectory() throws {
    // Slow enough to meet.
    try replace("sae-grad", by: "sleep 0.3; exec $real \"$@\"")
    let script = line(
      "sae-gradient-analysis",
      Self.job + ["--sae", Self.pattern, "--layers", "0-2", "--work-dir", "work", "--save_outputs"])
    let outcome = try shell(
      """
      \(script) --output-dir a 2> a.err & first=$!
      \(script) --output-dir b 2> b.err && wait $first && cat a.err b.err >&2
      """)
    expect(outcome)
    #expect(outcome.errors.contains("waiting for another run, which is making work/"), "\(outcome.errors)")
    let a = try #require(try names("a").first)
    let b = try #require(try names("b").first)
    #expect(try arrays("a/\(a)") == arrays("b/\(b)") && arrays("a/\(a)").count == 3)
    // Each stream was made once, by one of them.
    #expect(outcome.errors.components(separatedBy: "sae-grad: 8 samples").count - 1 == 3, "\(outcome.errors)")
    #expect(try !names("work").contains { $0.hasSuffix(".partial") })
  }

  @Test func killedRunsResumeToTheSameBits() throws {
    let outcome = try shell("\(packageRoot)/Tests/Pipelines/kill-test 4 \(UInt16.random(in: 1...9999))")
    expect(outcome)
  }

  /// Whether this user may mount a tmpfs, in a namespace of its own.
  private static let canMount =
    (try? Program.shell("unshare -m$([ $EUID = 0 ] || echo r) mount -t tmpfs tmpfs /mnt").status) == 0

  @Test(.enabled(if: canMount, "this user may not mount a tmpfs"))
  func aFullDiskIsNamedAndHarmless() throws {
    expect(try shell("\(packageRoot)/Tests/Pipelines/full-disk-test 40 90"))
  }

  // MARK: - Shell

  @Test func theCommandLinesOfTheReadmeWork() throws {
    expect(try shell("\(packageRoot)/Tests/Pipelines/readme-test"))
  }

  @Test func theScriptsPassShellcheck() throws {
    let outcome = try shell(
      """
      command -v shellcheck > /dev/null || exit 0
      cd \(packageRoot) && shellcheck pipelines/* && shellcheck -x -P SCRIPTDIR Tests/Pipelines/*-test
      """)
    expect(outcome)
    #expect(outcome.text.isEmpty, "\(outcome.text)")
  }
}
