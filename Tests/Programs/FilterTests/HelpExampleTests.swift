import Foundation
import TestSupport
import Testing

/// What --help shows can be pasted into a shell, in a folder that it says how to make.
@Suite struct HelpExampleTests {
  /// The lines from "e.g." on that are indented as it is, without the indentation.
  private func examples(_ help: String) -> String {
    var lines = help.split(separator: "\n", omittingEmptySubsequences: false).drop { !$0.hasPrefix("e.g.  ") }
    lines = lines.prefix { $0.hasPrefix("e.g.  ") || $0.hasPrefix("      ") }
    return lines.map { $0.dropFirst("e.g.  ".count) }.joined(separator: "\n")
  }

  @Test(arguments: [
    "wt-tokenize", "qwen-capture", "act-grad", "sae-grad", "sae-effect", "grad-aggregate", "grad-plot", "grad-table",
    "grad-contexts", "grad-report", "stream-info", "gradient-run", "gradient-run features", "gradient-run activations",
  ]) func runAsTheyStand(_ name: String) throws {
    let words = name.split(separator: " ").map(String.init)
    let help = try Program(words[0]).run(Array(words.dropFirst()) + ["--help"], environment: ["COLUMNS": "80"]).text
    let examples = examples(help)
    // How the demo's files come into a folder.
    let link = try #require(help.split(separator: "\n").first { $0.hasPrefix("  ln -s ") }, "\(help)")
    #expect(examples.contains("\(name) "))
    // A terminal of 80 columns would break longer ones, and a shell would take the rest for another command.
    #expect(examples.split(separator: "\n").allSatisfy { $0.count <= 80 - "e.g.  ".count })
    let folder = try TemporaryFolder()
    let outcome = try Program.shell(
      """
      set -euo pipefail; cd '\(folder.path)'
      gradient-filters-demo() { '\(packageRoot)/pipelines/demo' "$@"; }
      \(link)
      \(examples)
      """)
    #expect(outcome.status == 0, "\(examples)\n\(outcome.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).allSatisfy { !$0.hasSuffix(".partial") })
  }
}
