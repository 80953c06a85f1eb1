import Foundation
import TestSupport
import Testing

@Suite struct UsageTests {
  @Test(arguments: ["qwen-capture", "act-grad", "grad-aggregate", "stream-info"])
  func help(_ name: String) throws {
    let outcome = try Program(name).run(["--help"])
    #expect(outcome.status == 0)
    #expect(outcome.errors.isEmpty)
    #expect(outcome.text.contains("e.g.  ") && outcome.text.contains("USAGE: \(name)"))
    let version = try Program(name).run(["--version"])
    #expect(version.status == 0 && version.text.split(separator: ".").count == 3)
  }

  @Test(arguments: [
    ["qwen-capture"], ["act-grad"], ["qwen-capture", "--model"], ["stream-info", "--no-such-flag"],
    ["qwen-capture", "--model", "m", "stray"], ["grad-aggregate", "--mode", "median"],
    ["grad-aggregate", "--loss-reduction", "max"], ["grad-aggregate", "--weighting", ""],
    ["grad-aggregate", "--partial", "--save", "x"], ["act-grad", "--model", "m", "--threads", "0"],
    ["act-grad", "--model", "m", "--device", "tpu"], ["act-grad", "--model", "m", "--layers", "3-1"],
    ["act-grad", "--model", "m", "--layers", "0,,1"], ["act-grad", "--model", "m", "--layers", "99999"],
    ["qwen-capture", "--model", "m", "--layers", "a"], ["qwen-capture", "--model", "m", "--layers", ""],
    ["qwen-capture", "--model", "m", "--split", "no-layer.ts"],
  ])
  func usageErrors(_ command: [String]) throws {
    let outcome = try Program(command[0]).run(Array(command.dropFirst()))
    #expect(outcome.status == 64, "\(outcome.errors)")
    #expect(outcome.output.isEmpty)
    #expect(outcome.errors.hasPrefix("Error: "))
    #expect(outcome.errors.lowercased().contains("usage: \(command[0])"))
  }

  @Test func layersOutOfRange() throws {
    for (name, input) in [("qwen-capture", DemoRun.tokens), ("act-grad", DemoRun.activations)] {
      let outcome = try Program(name).run(DemoRun.modelFlag + ["--layers", "0,2-4"], input: input.get())
      #expect(
        outcome.failed(64, saying: "\(name): --layers: layer 4: the model's last layer is 3"), "\(outcome.errors)")
    }
  }

  @Test func layersBelowWhatIsCaptured() throws {
    let captured = try DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--layers", "2"], DemoRun.tokens.get())
    let outcome = try Program("act-grad").run(DemoRun.modelFlag + ["--layers", "1-3"], input: captured)
    #expect(
      outcome.failed(65, saying: "expected layer 1 or one below it captured, found layers 2"), "\(outcome.errors)")
  }

  /// The Python scripts' spelling; what follows `--` and values are left alone.
  @Test func underscoresInFlags() throws {
    let gradients = try DemoRun.gradients.get()
    let sums = try ["--loss-reduction", "--loss_reduction", "--loss_reduction="].map { flag in
      let arguments = flag.hasSuffix("=") ? ["\(flag)sample"] : [flag, "sample"]
      return try averages(DemoRun.output("grad-aggregate", arguments, gradients))
    }
    #expect(sums[0]["mean_abs.0"] != nil)
    #expect(sums[1] == sums[0] && sums[2] == sums[0])
    #expect(try sums[0] != averages(DemoRun.output("grad-aggregate", [], gradients)))
    let outcome = try Program("stream-info").run(["--check", "--", "--no_such_file"])
    #expect(outcome.failed(66, saying: "stream-info: --no_such_file: cannot open"), "\(outcome.errors)")
  }

  @Test(arguments: ["qwen-capture", "act-grad"])
  func missingModel(_ name: String) throws {
    let empty = try TemporaryFolder()
    let run = { (model: String) in
      try Program(name).run(["--model", model], environment: ["HF_HUB_CACHE": empty.path])
    }
    let id = "Qwen/Qwen2.5-0.5B"
    #expect(try run(id).failed(66, saying: "\(name): \(id): the model is neither a folder nor in \(empty.path)"))
    #expect(try run(id).failed(66, saying: "; this brings it: hf download \(id)"))
    #expect(try run("/no/such/folder").failed(66, saying: "/no/such/folder: no such model"))
    // A folder, but nothing in it.
    #expect(
      try run(empty.path).failed(66, saying: "\(empty.path): expected a model's config.json, found an empty folder"))
  }

  @Test func missingFile() throws {
    for name in ["grad-aggregate", "stream-info"] {
      #expect(
        try Program(name).run(["/no/such.ts"]).failed(
          66, saying: "\(name): /no/such.ts: cannot open: No such file or directory"))
      #expect(try Program(name).run([packageRoot]).failed(66, saying: "cannot open: is a directory"))
    }
  }

  @Test(arguments: [
    "qwen-capture --model '\(DemoRun.model)'", "act-grad --model '\(DemoRun.model)'", "grad-aggregate",
  ])
  func terminalAsOutput(_ command: String) throws {
    guard try Program.shell("script --version").status == 0 else {
      try Test.cancel("script(1), which makes a terminal, is not installed")
    }
    let outcome = try Program.shell("script -qec \"\(command) < /dev/null\" /dev/null")
    #expect(outcome.status == 64)
    #expect(outcome.text.contains("standard output is a terminal: send the stream to a file or to the next program"))
  }
}
