import Foundation
import TestSupport
import Testing

/// The hub's cache where huggingface_hub looks for it: constants.py reads these variables, with `~` and `$NAME` in them.
@Suite struct HubCacheTests {
  private let home = try! TemporaryFolder()
  private let commit = String(repeating: "0123456789abcdef", count: 3).prefix(40)

  private var repository: String { "hf/hub/models--own--tiny" }

  /// A cache below `home/hf` that has the demo's tokenizer as own/tiny.
  private func makeCache(revision: String = "main") throws {
    let snapshot = home.file("\(repository)/snapshots/\(commit)")
    for folder in [snapshot, home.file("\(repository)/refs")] {
      try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }
    for name in ["tokenizer.json", "tokenizer_config.json"] {
      #expect(symlink("\(DemoRun.model)/\(name)", "\(snapshot)/\(name)") == 0)
    }
    try String(commit).write(toFile: home.file("\(repository)/refs/\(revision)"), atomically: false, encoding: .utf8)
  }

  private func find(_ id: String, _ assignments: String = "") throws -> Program.Outcome {
    try Program.shell(
      """
      unset HF_HOME HF_HUB_CACHE HUGGINGFACE_HUB_CACHE XDG_CACHE_HOME
      cd '\(home.path)'
      export HOME='\(home.path)' HUB=hub
      \(assignments) wt-tokenize -q --tokenizer '\(id)' --num-samples 1 '\(packageRoot)/demo/sample.txt' | stream-info --check
      """)
  }

  @Test(arguments: [
    "HF_HOME=\"$HOME/hf\"", "HF_HOME=\"$HOME/hf/\"", "HF_HOME='~/hf'", "HF_HOME='$HOME/hf'", "HF_HOME='${HOME}/hf'",
    "HF_HUB_CACHE='~/hf/$HUB'", "HUGGINGFACE_HUB_CACHE='~/hf/hub'", "HF_HOME=/nowhere HUGGINGFACE_HUB_CACHE='~/hf/hub'",
    "HF_HUB_CACHE='~/hf/hub' HUGGINGFACE_HUB_CACHE=/nowhere", "XDG_CACHE_HOME='~/xdg'", "XDG_CACHE_HOME='$HOME/xdg'",
  ])
  func isFound(assignments: String) throws {
    try makeCache()
    #expect(mkdir(home.file("xdg"), 0o777) == 0 && symlink("../hf", home.file("xdg/huggingface")) == 0)
    let outcome = try find("own/tiny", assignments)
    #expect(outcome.errors.isEmpty && outcome.text.contains("complete: tokens"), "\(outcome.text)")
  }

  @Test(arguments: [
    "", "HF_HOME=", "HF_HUB_CACHE= HF_HOME='~/hf'", "HF_HOME='$NOBODY/hf'", "HF_HOME='~nobody-here/hf'",
  ])
  func isNotFound(assignments: String) throws {
    try makeCache()
    let outcome = try find("own/tiny", assignments)
    #expect(outcome.errors.contains("this brings it: hf download own/tiny"), "\(outcome.errors)")
  }

  @Test func anotherRevisionIsNamed() throws {
    try makeCache(revision: "v1")
    let outcome = try find("own/tiny", "HF_HOME='~/hf'")
    #expect(outcome.errors.contains("only in its revision v1: use the folder \(home.path)/"), "\(outcome.errors)")
  }

  /// As huggingface_hub's validate_repo_id.
  @Test(arguments: [
    "own/tiny@main", "own/tiny/", "models--own--tiny", "a..b", "own/x.git", ".a", "a/b/c", "own/tiny:main",
  ])
  func noIDs(id: String) throws {
    let outcome = try find(id)
    #expect(outcome.errors.contains("no such tokenizer: expected a folder or a hub id"), "\(outcome.errors)")
  }
}
