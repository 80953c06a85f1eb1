import Foundation
import Synchronization
import TestSupport
import Testing

/// What a person sees on a terminal while programs work.
@Suite struct TerminalTests {
  let folder: TemporaryFolder

  /// Leaves the pieces of a tokens stream in the folder: 0 has its beginning and its first batch, the next ones a batch
  /// each, 10 its end. A batch is as much as a pass takes, so that programs go on with each of them.
  init() throws {
    folder = try TemporaryFolder()
    let batch = [[Int32]](repeating: (1...400).map { $0 }, count: 3)
    let tokens = Data(
      try tokenStream(
        [[[Int32]]](repeating: batch, count: 10),
        provenance: ["samples": "30", "batches": "10", "batch_size": "3", "max_length": "400"]))
    let cuts = [0] + DemoRun.frameStarts(tokens).dropFirst(2) + [tokens.count]
    for (number, (start, end)) in zip(cuts, cuts.dropFirst()).enumerated() {
      try tokens[start..<end].write(to: folder.url("\(number)"))
    }
  }

  private static let functions = """
    # feed PIECE…: these, a third of a second apart
    feed() { for piece; do cat "$piece"; sleep 0.35; done; }
    capture() { qwen-capture --model '\(DemoRun.model)' --layers 0 "$@"; }
    gradients() { act-grad --model '\(DemoRun.model)' --layers 0 "$@"; }

    """

  /// - Returns: all that came to the terminal, which is standard error, and the exit code.
  private func run(_ script: String, on terminal: PseudoTerminal) throws -> (text: String, status: Int32) {
    var status: Int32 = 0
    let text = try terminal.watch {
      let outcome = try Program.shell(
        "set -o pipefail; cd '\(folder.path)'; exec 2> '\(terminal.path)'\n\(Self.functions)\(script)")
      status = outcome.status
    }
    return (text, status)
  }

  private func program(_ line: String) -> Substring { line.prefix { $0 != ":" } }

  @Test func aTableIsNoWiderThanTheTerminal() throws {
    let (wide, narrow) = (folder.file("wide"), try PseudoTerminal(columns: 80))
    try DemoRun.aggregates.get().write(to: folder.url("aggregates.ts"))
    #expect(
      try Program.shell("cd '\(folder.path)' && grad-table --format text --top 2 aggregates.ts > wide").status == 0)
    let text = try narrow.watch {
      let outcome = try Program.shell(
        "cd '\(folder.path)' && grad-table --format text --top 2 aggregates.ts > '\(narrow.path)'")
      #expect(outcome.status == 0, "\(outcome.errors)")
    }
    let lines = PseudoTerminal.screen(text)
    #expect(lines.allSatisfy { $0.count <= 80 } && lines.contains { $0.hasPrefix("mlp_out.3: ") }, "\(lines)")
    #expect(try !String(contentsOfFile: wide, encoding: .utf8).contains("left out to fit"))
  }

  @Test func oneProgramOfAPipeDraws() throws {
    let (text, status) = try run(
      "feed {0..10} | capture | gradients | grad-aggregate > out.ts", on: try PseudoTerminal(columns: 80))
    #expect(status == 0, "\(text)")
    let drawings = PseudoTerminal.drawings(text)
    // As soon as the last one is at work, it and no other.
    let first = try #require(drawings.firstIndex { program($0) == "grad-aggregate" }, "\(drawings)")
    #expect(
      drawings.count - first >= 3 && drawings[first...].allSatisfy { program($0) == "grad-aggregate" }, "\(drawings)")
    // The last record may have been counted by then.
    let most = ["grad-aggregate: 9 of 10 records, ", "grad-aggregate: 10 of 10 records, "]
    #expect(most.contains { drawings.last!.hasPrefix($0) }, "\(drawings)")
    // Of what was drawn nothing is left.
    let lines = PseudoTerminal.screen(text)
    #expect(lines.last == "")
    #expect(lines.dropLast().count == 8, "\(lines)")
    for (start, end) in [
      ("qwen-capture: device: ", ""), ("qwen-capture: 30 samples, 12000 tokens in ", " tokens/s)"),
      ("act-grad: device: ", ""), ("act-grad: 30 samples, 12000 tokens in ", " nats per prediction"),
      ("Layer 0: Mean abs ", ""),
      ("grad-aggregate: 10 records in ", "/s)"),
    ] {
      #expect(
        lines.count { $0.hasPrefix(start) && $0.hasSuffix(end) && !$0.contains(" left") } == 1, "\(start) \(lines)")
    }
  }

  /// A message takes the place of the line, whoever drew it.
  @Test func messagesHaveLinesOfTheirOwn() throws {
    let (text, status) = try run("feed {0..5} | capture | gradients > out.ts", on: try PseudoTerminal(columns: 80))
    #expect(status == 65)
    #expect(!PseudoTerminal.drawings(text).isEmpty)
    let lines = PseudoTerminal.screen(text)
    #expect(lines.last == "" && lines.count == 5, "\(lines)")
    for program in ["qwen-capture", "act-grad"] {
      #expect(
        lines.count { $0.hasPrefix("\(program): -: record ") && $0.contains(": truncated: ") && !$0.contains(" left") }
          == 1, "\(lines)")
    }
  }

  @Test func theOneBeforeGoesOnWhereTheLastIsKilled() throws {
    let terminal = try PseudoTerminal(columns: 80)
    let (text, _) = try run(
      """
      for name in first second; do ln -s "$(command -v qwen-capture)" $name; mkfifo to-$name; done
      start() { ./$1 --model '\(DemoRun.model)' --layers 0 < to-$1 > /dev/null & }
      start first; first=$!
      exec 3> to-first
      cat 0 1 >&3
      sleep 1
      start second; second=$!
      exec 4> to-second
      cat 0 1 >&4
      sleep 1
      feed 2 3 >&4
      feed 2 3 >&3
      kill -9 $second
      wait $second
      echo killed >&2
      feed 4 5 >&3
      kill $first
      wait $first
      """, on: terminal)
    let (before, after) = try #require(
      text.firstRange(of: "killed").map { (text[..<$0.lowerBound], text[$0.upperBound...]) })
    // The first one may have drawn before the second began.
    let drawings = PseudoTerminal.drawings(String(before)).drop { program($0) == "first" }
    #expect(!drawings.isEmpty && drawings.allSatisfy { program($0) == "second" }, "\(text)")
    #expect(Set(PseudoTerminal.drawings("\r\u{1b}[K\(after)").map(program)) == ["first"], "\(text)")
    // The shell's next word begins on a line of its own.
    #expect(text.hasSuffix(" left\r\n"), "\(text)")
  }

  @Test(arguments: [(40, 39), (80, 79), (200, 199), (0, 79)])
  func linesAreCutWhereTheTerminalEnds(_ columns: Int, _ longest: Int) throws {
    let terminal = try PseudoTerminal(columns: columns)
    let drawings = PseudoTerminal.drawings(try run("feed {0..10} | capture > out.ts", on: terminal).text)
    #expect(drawings.count >= 3 && drawings.allSatisfy { $0.count <= longest }, "\(drawings)")
    // What is not cut has all of it.
    #expect(drawings.allSatisfy { $0.count == longest || $0.hasSuffix(" s left") }, "\(drawings)")
    #expect((columns == 40) == drawings.contains { !$0.hasSuffix(" s left") }, "\(drawings)")
  }

  @Test func windowsChange() throws {
    let terminal = try PseudoTerminal(columns: 200)
    let seen = Mutex(0)
    let text = try terminal.watch { text in
      guard seen.withLock({ $0 }) == 0, !PseudoTerminal.drawings(text).isEmpty else { return }
      terminal.resize(columns: 20)
      seen.withLock { $0 = PseudoTerminal.drawings(text).count }
    } while: {
      _ = try Program.shell(
        "cd '\(folder.path)'; exec 2> '\(terminal.path)'\n\(Self.functions)feed {0..10} | capture > out.ts")
    }
    let drawings = PseudoTerminal.drawings(text)
    let count = seen.withLock { $0 }
    #expect(count > 0 && drawings.count > count && drawings[..<count].allSatisfy { $0.hasSuffix(" s left") })
    #expect(drawings[count...].allSatisfy { $0.count == 19 }, "\(drawings)")
  }

  /// Nobody draws between the lines of a listing.
  @Test func textOnStandardOutput() throws {
    let terminal = try PseudoTerminal(columns: 80)
    let (text, status) = try run("feed {0..10} | capture | stream-info > '\(terminal.path)'", on: terminal)
    #expect(status == 0 && text.contains("  end: 10 data records"), "\(text)")
    #expect(PseudoTerminal.drawings(text).isEmpty, "\(text)")
    #expect(PseudoTerminal.screen(text).contains { $0.hasPrefix("qwen-capture: 30 samples, ") }, "\(text)")
  }

  /// With --quiet, and where another program has the facts.
  @Test(arguments: ["--quiet", "--progress-fd 3"]) func nothingIsDrawn(_ flags: String) throws {
    let (text, status) = try run(
      "feed {0..10} | capture \(flags) 3> /dev/null > out.ts", on: try PseudoTerminal(columns: 80))
    #expect(status == 0 && !text.contains("\u{1b}"), "\(text)")
  }
}
