import Foundation
import TestSupport
import Testing

/// Runs that are planned for a cluster, without one: `make slurm-test` has a real Slurm.
@Suite(.serialized) struct SlurmPlanTests {
  private static let job =
    "--model-name \(packageRoot)/demo/model --text \(packageRoot)/demo/sample.txt --max-length 32 --layers 1,3 --threads 1"
  private static let features = "features \(job) --sae '\(packageRoot)/demo/saes/mlp_out_layer_{layer}/trainer_0'"

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func shell(_ command: String) throws -> Program.Outcome {
    try Program.shell("cd '\(folder.path)' || exit\n\(command)")
  }

  private func names(_ path: String = ".") throws -> [String] {
    try FileManager.default.contentsOfDirectory(atPath: folder.file(path)).sorted()
  }

  /// Steps that any machine does one by one leave what one run leaves.
  @Test(.enabled(if: roundsAllRowsAlike, "OpenBLAS rounds a row by its place on this processor"))
  func stepsOneByOneLeaveTheFilesOfOneRun() throws {
    let outcome = try shell(
      """
      set -eo pipefail
      gradient-run \(Self.features) --num-samples 20 --save-outputs --output-dir one
      gradient-run slurm \(Self.features) --num-samples 20 --work-dir w --shards 3 --layer-groups 1 --prepare
      for stage in tokens activations sums; do
        gradient-run status --work-dir w | awk -v stage=$stage '$1 ~ "^" stage "-" { print $1 }' |
          xargs -n 1 -P 2 gradient-run step --work-dir w --threads 1
      done
      gradient-run step --work-dir w --output out/results results
      gradient-run status --work-dir w | grep -v '^  '
      """)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(
      outcome.text.hasSuffix("tokens: 3 of 3\nactivations: 6 of 6\ngradients: 0 of 0\nsums: 6 of 6\nresults\n"),
      "\(outcome.text)")
    let one = try #require(try names("one").first)
    #expect(try names("one/\(one)") == names("out/results"))
    for name in try names("out/results") where name.hasSuffix(".npy") {
      #expect(
        try Data(contentsOf: folder.url("one/\(one)/\(name)")) == Data(contentsOf: folder.url("out/results/\(name)")))
    }
    let record = try JSONSerialization.jsonObject(with: Data(contentsOf: folder.url("out/results/run.json")))
    let members = try #require(record as? [String: Any])
    #expect((members["command"] as? String)?.hasPrefix("gradient-run slurm features --model-name ") == true)
    #expect(members["seconds"] is NSNull && (members["pipeline"] as? [String])?.count == 3 + 3 + 6 + 2)
  }

  /// A text that ends early has fewer shards: none of them is empty.
  @Test func shardsAreOfTheSamplesThatThereAre() throws {
    let outcome = try shell(
      "gradient-run slurm activations \(Self.job) --num-samples 500 --work-dir w --shards 4 --dry-run")
    #expect(outcome.status == 0 && outcome.errors == "gradient-run: the text has only 52 samples, 500 were asked for\n")
    #expect(outcome.text.contains(" --array=0-3 "))
    #expect(try names().isEmpty)
  }

  /// Nothing is kept and nothing sent of what can be known to fail.
  @Test(arguments: [
    ("activations \(job)", 64, "--work-dir: "),
    ("activations \(job) --work-dir w --aggregation-mode nonsense", 64, "--aggregation-mode: "),
    ("activations \(job) --work-dir w --stride 2", 64, "--stride: no such option"),
    ("activations \(job) --work-dir w --shards 0", 64, "--shards: "),
    ("\(features) --work-dir w --stride 0", 64, "--stride: "),
    ("activations \(job) --work-dir w --precision bf16", 64, "--precision bf16: requires --device cuda"),
    ("features \(job) --work-dir w --sae 'none-{layer}'", 66, "none-1"), ("--work-dir w", 64, "--work-dir"),
  ])
  func whatCanBeIsRefusedBefore(arguments: String, status: Int, words: String) throws {
    let outcome = try shell(
      "mkdir bin; echo 'touch sent' > bin/sbatch; chmod +x bin/*; PATH=$PWD/bin:$PATH; gradient-run slurm \(arguments)")
    #expect(outcome.status == Int32(status) && outcome.errors.contains(words), "\(outcome.errors)")
    #expect(try !names().contains("sent"))
  }

  @Test func withoutSlurm() throws {
    let outcome = try shell(
      """
      mkdir bin && for tool in bash mkdir cat; do ln -s "$(type -P $tool)" bin; done
      run=$(type -P gradient-run); PATH=$PWD/bin "$run" slurm activations \(Self.job) --work-dir w --num-samples 8 --quiet
      """)
    #expect(outcome.failed(69, saying: "sbatch: not found"), "\(outcome.errors)")
  }

  @Test func theDeviceIsThatOfTheJobs() throws {
    let outcome = try shell(
      """
      gradient-run slurm activations \(Self.job) --work-dir w --device cuda --precision bf16 --allow-nonfinite --prepare
      cat w/plans/*.json
      """)
    #expect(outcome.status == 0, "\(outcome.errors)")
    for program in ["qwen-capture", "act-grad", "grad-aggregate"] {
      let commands = outcome.text.split(separator: "[").filter { $0.hasPrefix("\"\(program)\"") }
      #expect(!commands.isEmpty)
      #expect(
        commands.allSatisfy {
          $0.contains("\"--device\", \"cuda:0\", \"--precision\", \"bf16\", \"--allow-nonfinite\"")
        })
    }
  }

  @Test func aStepWaitsForWhatItNeeds() throws {
    let outcome = try shell(
      """
      gradient-run slurm activations \(Self.job) --work-dir w --num-samples 8 --shards 1 --prepare || exit
      gradient-run step --work-dir w --wait 1 activations-layer-1; echo $?
      { sleep 1; gradient-run step --work-dir w --threads 1 tokens; } &
      gradient-run step --work-dir w --wait 60 --threads 1 activations-layer-1; echo $?
      gradient-run step --work-dir w --wait -1 tokens; echo $?
      """)
    #expect(outcome.text == "66\n0\n64\n", "\(outcome.text)\(outcome.errors)")
  }
}
