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

  /// One line that names the flag, what was expected and what was found, and one that tells where the help is.
  @Test(arguments: [
    ("qwen-capture", "--model: expected a value, found none; it has no default"),
    ("act-grad", "--model: expected a value, found none; it has no default"),
    ("qwen-capture --model", "--model: expected a value, found none"),
    ("qwen-capture --model m --layers", "--layers: expected a value, found none"),
    ("stream-info --no-such-flag", "--no-such-flag: no such option"),
    ("qwen-capture --model m --layer 0", "--layer: no such option; the most similar one is --layers"),
    ("grad-aggregate --wieghting sample", "--wieghting: no such option; the most similar one is --weighting"),
    (
      "wt-tokenize --tokenizer t --num_sample 3",
      "--num-sample: no such option; the most similar one is --num-samples"
    ),
    ("stream-info -x", "-x: no such option"),
    (
      "qwen-capture --model m tokens.ts",
      "expected no further argument, found 'tokens.ts'; the stream is read from standard input: < tokens.ts"
    ),
    (
      "act-grad --model m a b",
      "expected no further argument, found 'a', 'b'; the stream is read from standard input"
    ),
    (
      "sae-grad --model m --sae s activations.ts",
      "expected no further argument, found 'activations.ts'; the stream is read from standard input: < activations.ts"
    ),
    ("qwen-capture --model m --loss=3", "--loss: expected no value, found '3'"),
    ("grad-aggregate --mode median", "--mode: expected mean_abs, mean or both, found 'median'"),
    ("grad-table --format csv", "--format: expected tsv, jsonl or text, found 'csv'"),
    ("grad-table --top 0 a.ts", "--top: expected a number of at least 1, found 0"),
    ("grad-table --top 3 --top-overall 3 a.ts", "--top-overall: cannot be combined with --top"),
    (
      "grad-table --sort size a.ts",
      "--sort: expected a column such as attribution.mean_abs, gradient.mean, attribution.z, firing or index, found "
        + "'size'"
    ),
    (
      "grad-table --sort attribution a.ts",
      "--sort: expected attribution.mean, attribution.mean_se, attribution.z, attribution.mean_abs or "
        + "attribution.mean_abs_se, found 'attribution'"
    ),
    ("grad-table --layer 3 a.ts", "--layer: applies to .npy arrays only; --layers 3 chooses layers"),
    ("grad-plot --layer 0 a.ts", "--layer: applies to .npy arrays only; --layers 0 chooses layers"),
    ("grad-report --layer 3", "--layer: applies to .npy arrays only; --layers 3 chooses layers"),
    ("grad-table --mode mean a.ts", "--mode: applies to .npy arrays only; a stream says which averages it contains"),
    ("grad-plot --mode mean", "--mode: applies to .npy arrays only; a stream says which averages it contains"),
    (
      "grad-table --layer 3 layer_0_gradients.npy",
      "--layer: applies to arrays only whose file names do not say the layer; --layers 3 chooses layers"
    ),
    (
      "grad-table --mode mean layer_0_mean_gradients.npy",
      "--mode: applies to arrays only whose file names do not say the mode; a stream says which averages it contains"
    ),
    ("grad-table --compare -", "--compare: expected a file, as standard input is read for the averages"),
    ("grad-report --top 0 a.ts", "--top: expected 1 to 10000, found 0"),
    (
      "grad-report --sort attribution a.ts",
      "--sort: expected gradient, attribution or activation, followed by .mean or .mean_abs, such as attribution.mean_abs, "
        + "found 'attribution'"
    ),
    ("grad-report --figures firing a.ts", "--figures: expected gradient, attribution or activation, followed by"),
    ("grad-report --contexts -", "--contexts: expected a file, as standard input is read for the averages"),
    (
      "grad-report --neuronpedia 'javascript:alert(1)' a.ts",
      "--neuronpedia: expected a model and a set such as gemma-2-2b/gemmascope-res-16k"
    ),
    ("grad-contexts", "--features: expected a list of features, or --aggregates instead, found neither"),
    ("grad-contexts --features 0:x", "--features: expected features such as 3:17 or resid_post.3:17, found '0:x'"),
    ("grad-contexts --features 0:1 --by size", "--by: expected gradient, attribution or activation, found 'size'"),
    ("grad-contexts --features 0:1 --contexts 0", "--contexts: expected a number from 1 to 100000, found 0"),
    ("grad-contexts --features 0:1 --window -1", "--window: expected a number from 0 to 100000, found -1"),
    ("grad-contexts --features 0:1 --quantiles 0", "--quantiles: expected a number from 1 to 1000, found 0"),
    ("grad-contexts --features 0:1 --seed 3", "--seed: requires --quantiles"),
    ("grad-contexts --features 0:1 --per-quantile 3", "--per-quantile: requires --quantiles"),
    (
      "grad-contexts --features 0:1 --tokens -",
      "--tokens: expected a file, as standard input is read for the gradients"
    ),
    ("grad-plot --format gif", "--format: expected png, svg or pdf, found 'gif'"),
    ("wt-tokenize --tokenizer t --padding left", "--padding: expected none or max-length, found 'left'"),
    ("act-grad --model m --device tpu", "--device: expected auto, cpu, cuda or cuda:N, found 'tpu'"),
    ("act-grad --model m --precision f8", "--precision: expected auto, float32, split, tf32 or bf16, found 'f8'"),
    ("act-grad --model m --threads many", "--threads: expected a number, found 'many'"),
    ("act-grad --model m --threads 1.5", "--threads: expected a whole number, found '1.5'"),
    ("act-grad --model m --threads 99999999999999999999", "--threads: expected a smaller whole number, found '9999"),
    ("wt-tokenize --tokenizer t --num-samples 1e3", "--num-samples: expected a whole number in digits, found '1e3'"),
    ("grad-aggregate --save '' g.ts", "--save: expected a value, found an empty one"),
    ("grad-aggregate --save= g.ts", "--save: expected a value, found an empty one"),
    ("qwen-capture --model '' --layers 0", "--model: expected a value, found an empty one"),
    ("grad-plot a.ts ''", "expected the name of a file, found an empty one"),
    ("act-grad --model m --threads 0", "--threads: expected a number from 1 to 1024, found 0"),
    ("act-grad --model m --threads -2", "--threads: expected a number from 1 to 1024, found -2"),
    ("wt-tokenize --tokenizer t --seed -1", "--seed: expected a whole number of at least 0, found '-1'"),
    ("sae-grad --model m --sae s --stride 0", "--stride: expected a number of at least 1, found 0"),
    ("sae-grad --sae s", "--model: expected a value, found none; it has no default"),
    ("sae-grad --model m", "--sae: expected a value, found none; it has no default"),
    ("sae-grad --list-saes d --model m", "--model: cannot be combined with --list-saes, which only lists autoencoders"),
    ("sae-grad --model m --sae s --json", "--json: requires --list-saes"),
    ("grad-aggregate --partial --save x", "--save: cannot be combined with --partial, which computes no averages"),
    ("qwen-capture --model m --split no-layer.ts", "--split: expected {layer} in the path, found 'no-layer.ts'"),
    ("qwen-capture --model m 'a\nb\u{1b}[31m'", "expected no further argument, found 'a\\nb\\u{1b}[31m'"),
    (
      "grad-plot --generate-completion-script tcsh",
      "--generate-completion-script: expected bash, zsh or fish, found 'tcsh'"
    ),
  ])
  func usageErrors(_ command: String, _ line: String) throws {
    let outcome = try Program.shell("\(command) --quiet < /dev/null")
    #expect(outcome.status == 64 && outcome.output.isEmpty)
    let name = command.prefix { $0 != " " }
    let lines = outcome.errors.split(separator: "\n", omittingEmptySubsequences: false)
    #expect(lines.count == 3 && lines[0].hasPrefix("\(name): \(line)"), "\(outcome.errors)")
    #expect(lines.dropFirst().elementsEqual(["see \(name) --help", ""]), "\(outcome.errors)")
  }

  /// Errors are said whatever is asked not to be said.
  @Test(arguments: [
    "wt-tokenize", "qwen-capture", "act-grad", "sae-grad", "grad-aggregate", "grad-plot", "grad-table", "grad-report",
  ])
  func quietProgramsSayErrors(_ name: String) throws {
    let folder = try TemporaryFolder()
    let flags = [
      "wt-tokenize": ["--tokenizer", "\(DemoRun.model)/tokenizer.json"],
      "sae-grad": DemoRun.modelFlag + ["--sae", "s"], "grad-aggregate": [], "grad-plot": ["--output", folder.path],
      "grad-table": [], "grad-report": [],
    ]
    // An empty input.
    let outcome = try Program(name).run((flags[name] ?? DemoRun.modelFlag) + ["--quiet"])
    #expect(outcome.status == 65 && outcome.errors.hasPrefix("\(name): "), "\(outcome.status) \(outcome.errors)")
    #expect(outcome.errors.split(separator: "\n").count == 1)
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
      outcome.failed(65, saying: "expected mlp_out.1 or a place before it captured, found mlp_out.2"),
      "\(outcome.errors)")
  }

  /// The Python scripts' spelling; what follows `--` and values are left alone.
  @Test func underscoresInFlags() throws {
    let gradients = try DemoRun.gradients.get()
    let sums = try ["--loss-reduction", "--loss_reduction", "--loss_reduction="].map { flag in
      let arguments = flag.hasSuffix("=") ? ["\(flag)sample"] : [flag, "sample"]
      return try averages(DemoRun.output("grad-aggregate", arguments, gradients))
    }
    #expect(sums[0]["mean_abs.mlp_out.0"] != nil)
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

  /// Where features are named, an index alone is more likely than a file.
  @Test(arguments: [
    ("grad-table", "639", "3:639"), ("grad-contexts", "mlp_out.2.639", "2:639"), ("grad-table", "1,2", "3:1"),
    ("sae-effect --model '\(DemoRun.model)'", "resid_post.2.639", "resid_post.2:639"),
    ("grad-contexts", "/no/such.txt", "3:17"),
  ])
  func featuresThatAreNoFile(_ command: String, _ named: String, _ example: String) throws {
    let outcome = try Program.shell("\(command) --features \(named) < /dev/null")
    #expect(
      outcome.failed(
        66,
        saying: "--features: expected layer:index such as \(example), or a file; there is no file \(named)"),
      "\(outcome.errors)")
  }

  /// A stream where lines of text belong.
  @Test func streamsInsteadOfLines() throws {
    let folder = try TemporaryFolder()
    let stream = folder.file("averages.ts")
    try DemoRun.output("grad-aggregate", [], DemoRun.gradients.get()).write(to: folder.url("averages.ts"))
    for (command, expected) in [
      ("grad-report --contexts", "the lines of JSON that grad-contexts writes"),
      ("grad-report --effects", "the lines of JSON that sae-effect writes"),
      ("grad-table --effects", "the lines of JSON that sae-effect writes"),
      ("grad-report --labels", "lines of a feature such as 3:17, a tab and its label"),
      ("grad-table --features", "a list of features such as 3:17"),
    ] {
      let outcome = try Program.shell("\(command) '\(stream)' '\(stream)'")
      #expect(
        outcome.failed(65, saying: "\(stream): expected \(expected), found a tensor stream"), "\(outcome.errors)")
    }
  }

  @Test func demoIntoAFile() throws {
    let folder = try TemporaryFolder()
    let file = folder.file("taken")
    try Data("mine".utf8).write(to: folder.url("taken"))
    let outcome = try Program.shell("'\(packageRoot)/pipelines/demo' '\(file)'")
    #expect(outcome.failed(64, saying: "demo: \(file): expected a folder to write into"), "\(outcome.errors)")
    #expect(try Data(contentsOf: folder.url("taken")) == Data("mine".utf8))
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
