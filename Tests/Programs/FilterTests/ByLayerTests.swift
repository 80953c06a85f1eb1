import Foundation
import TestSupport
import Testing

/// A filter once a layer, run on the small model as a user runs it.
@Suite(.serialized) struct ByLayerTests {
  private static let model = "\(packageRoot)/demo/model"
  private static let program = [
    "sae-grad", "--model", model, "--sae", "\(packageRoot)/demo/saes/mlp_out_layer_{layer}/trainer_0",
  ]

  private let folder: TemporaryFolder

  init() throws {
    folder = try TemporaryFolder()
    let outcome = try shell(
      """
      wt-tokenize -q --tokenizer \(Self.model) --num-samples 8 --max-length 32 \(packageRoot)/demo/sample.txt > tokens.ts
      qwen-capture -q --threads 1 --model \(Self.model) --loss < tokens.ts > all.ts
      qwen-capture -q --threads 1 --model \(Self.model) --loss --split 'cap-{layer}.ts' < tokens.ts
      """)
    try #require(outcome.status == 0, "\(outcome.errors)")
  }

  /// In the test's folder, whose `bin` comes first on the PATH.
  private func shell(_ command: String) throws -> Program.Outcome {
    try Program.shell("cd '\(folder.path)' && mkdir -p bin && PATH=$PWD/bin:$PATH || exit\n\(command)")
  }

  private func byLayer(_ arguments: [String], before: String = "") throws -> Program.Outcome {
    try shell(before + "\n'\(packageRoot)/pipelines/by-layer' " + arguments.map { "'\($0)'" }.joined(separator: " "))
  }

  private func names(_ prefix: String) throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.path).filter { $0.hasPrefix(prefix) }.sorted()
  }

  @Test func theStreamsOfOneProcess() throws {
    let apart = try byLayer(["-P", "2", "--threads", "2", "cap-{layer}.ts", "apart-{layer}.ts"] + Self.program)
    #expect(apart.status == 0, "\(apart.errors)")
    let common = try byLayer(
      ["--layers", "0,1-3", "--jobs", "4", "--threads", "4", "all.ts", "g-{layer}.ts"] + Self.program + ["-q"])
    #expect(common.status == 0 && common.errors.isEmpty, "\(common.errors)")
    let sums = try byLayer(["apart-{layer}.ts", "sums-{layer}.ts", "grad-aggregate", "--partial"])
    #expect(sums.status == 0, "\(sums.errors)")
    let outcome = try shell(
      """
      grad-aggregate -q --threads 1 --save a sums-?.ts > a.ts && grad-aggregate -q --threads 1 --save b g-?.ts > b.ts
      \(Self.program.map { "'\($0)'" }.joined(separator: " ")) --threads 1 < all.ts | grad-aggregate --threads 1 --save c > c.ts
      ls c; diff -r a c && diff -r b c
      """)
    #expect(outcome.status == 0 && outcome.text.split(separator: "\n").count == 4, "\(outcome.errors)\(outcome.text)")
  }

  @Test func layersThatFailAreNamedAndTheOthersDone() throws {
    try Data(
      """
      #!/bin/bash
      layer=$(sed 's/.*--layers \\([0-9]*\\).*/\\1/' <<< "$*"); echo "$*" >> calls-$layer
      [ ! -e mended ] || exec '\(Program("sae-grad").path)' "$@"
      case $layer in
        1) head -c 100; echo 'sae-grad: layer 1: no luck' >&2; exit 65 ;;
        2) head -c 100; kill -KILL $$ ;;
        3) exit 255 ;;
      esac
      exec '\(Program("sae-grad").path)' "$@"
      """.utf8
    ).write(to: folder.url("sae-grad"))
    let arguments = ["-P", "3", "--threads", "6", "cap-{layer}.ts", "grad-{layer}.ts"] + Self.program
    let outcome = try byLayer(arguments, before: "chmod +x sae-grad && mv sae-grad bin")
    #expect(outcome.status == 65)
    #expect(outcome.errors.contains("sae-grad: layer 1: no luck\n"))
    #expect(outcome.errors.hasSuffix("by-layer: failed: layers 1,2,3\n"), "\(outcome.errors)")
    #expect(try names("grad-") == ["grad-0.ts"])
    #expect(try String(contentsOf: folder.url("calls-2"), encoding: .utf8).hasSuffix("--layers 2 --threads 2\n"))

    let again = try byLayer(["--keep"] + arguments, before: "touch mended")
    #expect(again.status == 0, "\(again.errors)")
    #expect(try names("grad-") == (0...3).map { "grad-\($0).ts" })
    #expect(try String(contentsOf: folder.url("calls-0"), encoding: .utf8).split(separator: "\n").count == 1)
    // One that is not there, among others.
    let missing = try byLayer(["--layers", "0,7", "cap-{layer}.ts", "more-{layer}.ts"] + Self.program)
    #expect(missing.status == 66 && missing.errors.contains("by-layer: cap-7.ts: cannot open\n"), "\(missing.errors)")
    #expect(try names("more-") == ["more-0.ts"])
  }

  @Test(arguments: ["INT", "TERM"]) func interruptedItLeavesNothing(signal: String) throws {
    let outcome = try shell(
      """
      printf '#!/bin/bash\ncat; touch begun; sleep 20\n' > bin/slow; chmod +x bin/slow
      set -m
      '\(packageRoot)/pipelines/by-layer' -P 2 'cap-{layer}.ts' 'x-{layer}.ts' slow &
      for i in $(seq 100); do [ ! -e begun ] || break; sleep 0.1; done
      kill -\(signal) -- -$!; wait $!; echo $?
      for i in $(seq 50); do [ -n "$(ls x-* 2> /dev/null)" ] || break; sleep 0.1; done
      """)
    #expect(outcome.text == "\(signal == "INT" ? 130 : 143)\n", "\(outcome.errors)")
    #expect(try names("begun") == ["begun"] && names("x-").isEmpty)
  }

  @Test(arguments: [
    ("none-{layer}.ts x{layer} cat", 66), ("all.ts x{layer} cat", 64), ("cap-{layer}.ts x cat", 64),
    ("cap-{layer}.ts x{layer}", 64), ("--bogus cap-{layer}.ts x{layer} cat", 64), ("--layers", 64),
    ("--layers 3-x cap-{layer}.ts x{layer} cat", 64), ("--jobs 0 cap-{layer}.ts x{layer} cat", 64),
  ])
  func mistakes(arguments: String, status: Int) throws {
    let outcome = try byLayer(arguments.split(separator: " ").map(String.init))
    #expect(outcome.status == Int32(status), "\(outcome.errors)")
    #expect(
      outcome.errors.hasPrefix("by-layer: ") && outcome.errors.split(separator: "\n").count == 1, "\(outcome.errors)")
    #expect(try names("x").isEmpty)
  }
}
