import Aggregation
import FilterSupport
import Foundation
import TestSupport
import Testing

/// What the programs tell by --progress-fd.
@Suite struct FactsTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Runs a program with its facts on descriptor 3.
  private func run(
    _ filter: DemoRun.Case, _ more: [String] = [], input: Data? = nil
  ) throws -> (outcome: Program.Outcome, facts: [Fact]) {
    try (input ?? filter.input.get()).write(to: folder.url("in"))
    let flags = (["--progress-fd", "3"] + more).map { "'\($0)'" }.joined(separator: " ")
    let outcome = try Program.shell(
      "\(filter.commandLine) \(flags) < '\(folder.file("in"))' 3> '\(folder.file("facts"))'")
    let text = try Data(contentsOf: folder.url("facts"))
    #expect(text.isEmpty || text.last == UInt8(ascii: "\n"))
    let facts = try text.split(separator: UInt8(ascii: "\n")).map { line in
      // Foundation's parser is the second opinion.
      let object = try #require(try JSONSerialization.jsonObject(with: line) as? [String: Any])
      let read = try #require(Fact.read(line), "\(object)")
      #expect(read.program == filter.program && object["program"] as? String == filter.program)
      return read.fact
    }
    return (outcome, facts)
  }

  @Test(arguments: DemoRun.allPrograms)
  func ofEveryProgram(_ filter: DemoRun.Case) throws {
    let (outcome, facts) = try run(filter)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(facts.last == .end)
    let computes = ["qwen-capture", "act-grad", "sae-grad", "sae-effect"].contains(filter.program)
    #expect(facts.count { if case .device = $0 { true } else { false } } == (computes ? 1 : 0))
    // Tables and pages are not made piece by piece.
    let last = facts.last { if case .progress = $0 { true } else { false } }
    #expect((last != nil) == !["grad-table", "grad-report"].contains(filter.program), "\(facts)")
    // The words are the same ones.
    for fact in facts {
      switch fact {
      case .device(let words): #expect(outcome.errors.contains("\(filter.program): device: \(words)\n"))
      case .note(let words) where filter.program != "stream-info":
        #expect(outcome.errors.contains("\(filter.program): \(words)\n"))
      case .progress(let done, let total, let unit, _, _) where fact == last && filter.program == "sae-effect":
        #expect(done == 2 * DemoRun.samples.count && total == nil && unit == "ablations")
      case .progress(let done, let total, let unit, let tokens, _) where fact == last && computes:
        #expect(done == DemoRun.samples.count && total == nil && unit == "samples" && tokens == 119)
        #expect(outcome.errors.contains("\(filter.program): \(done) \(unit), \(tokens) tokens in "))
      case .progress(let done, let total, _, _, _) where fact == last && filter.program == "wt-tokenize":
        #expect(done == 8 && total == 8)
      default: break
      }
    }
    // What is asked for beside it changes nothing of the output, its history included.
    // Compared apart, as a failed comparison of so many bytes takes minutes to be shown.
    let isSame = try Program(filter.program).run(filter.arguments, input: filter.input.get()).output == outcome.output
    #expect(isSame)
  }

  @Test(arguments: ["qwen-capture", "act-grad", "sae-grad"])
  func lossesAreThoseOfTheWords(_ program: String) throws {
    let filter = try #require(DemoRun.allPrograms.first { $0.program == program })
    let (outcome, facts) = try run(filter)
    let losses = facts.compactMap { fact -> (Double, Int)? in
      if case .loss(let nats, let predictions) = fact { (nats, predictions) } else { nil }
    }
    try #require(losses.count == 1, "\(facts)")
    let (nats, predictions) = losses[0]
    // A sample of n tokens predicts n − 1.
    #expect(predictions == DemoRun.samples.reduce(0) { $0 + $1.count - 1 })
    #expect(outcome.errors.contains(", loss \(decimal(nats))"), "\(outcome.errors)")
    let reconstructions = facts.compactMap { fact -> String? in
      guard case .reconstruction(let place, let l0, let explained, let loss?, let replaced?, _) = fact else {
        return nil
      }
      #expect(loss == nats)
      return String(
        format: "layer %d: L0 %.1f (k 16), variance explained %.1f %%, ", place.layer, l0, 100 * explained)
        + "loss \(decimal(loss)), with the SAE \(decimal(replaced)) nats per prediction\n"
    }
    #expect(reconstructions.count == (program == "sae-grad" ? 2 : 0))
    for line in reconstructions { #expect(outcome.errors.contains(line), "\(line)\(outcome.errors)") }
  }

  private func decimal(_ value: Double) -> String { String(format: "%.4f", value) }

  @Test func statisticsAreThoseOfTheWords() throws {
    let filter = try #require(DemoRun.allPrograms.first { $0.program == "grad-aggregate" })
    let (outcome, facts) = try run(filter, ["--save", folder.file("out")])
    var (words, certainties) = ("", "")
    var modes: [AveragingMode: Statistics] = [:]
    for case .statistics(let place, let measure, let statistics, let certainty?) in facts {
      modes[measure.mode] = statistics
      certainties += "\(try #require(PlaceSummary.text(measure, certainty, .document)))\n"
      guard modes.count == 2 else { continue }
      words += "\(PlaceSummary.text(place, modes))\n\(certainties)"
      certainties = ""
      modes = [:]
      #expect(statistics.count == 128)
    }
    #expect(!words.isEmpty && outcome.errors.contains(words), "\(words)")
    // Arrays are told of when they are there.
    let files = facts.compactMap { if case .file(let path) = $0 { path } else { nil } }
    #expect(
      Set(files)
        == Set(
          try FileManager.default.contentsOfDirectory(atPath: folder.file("out")).map { "\(folder.file("out"))/\($0)" })
    )
    #expect(files.count == 8)
  }

  /// Also hidden words are facts, and hide no others.
  @Test func quietHidesNone() throws {
    let filter = try #require(DemoRun.allPrograms.first { $0.program == "act-grad" })
    let (outcome, facts) = try run(filter, ["--quiet"])
    #expect(outcome.status == 0 && outcome.errors.isEmpty)
    #expect(facts.contains { if case .note(let words) = $0 { words.contains(" nats per prediction") } else { false } })
  }

  @Test func picturesAreCountedAndNamed() throws {
    let filter = DemoRun.Case(
      program: "grad-plot", arguments: ["--dpi", "20", "--output", folder.file("plots")], input: DemoRun.aggregates,
      wrongInput: DemoRun.tokens)
    let (outcome, facts) = try run(filter)
    let files = facts.compactMap { if case .file(let path) = $0 { path } else { nil } }
    let made = try FileManager.default.contentsOfDirectory(atPath: folder.file("plots"))
    #expect(Set(files) == Set(made.map { "\(folder.file("plots"))/\($0)" }) && files.count == made.count)
    let last = facts.last { if case .progress = $0 { true } else { false } }
    guard case .progress(made.count, made.count, "pictures", 0, _) = last else {
      Issue.record("\(facts)")
      return
    }
    #expect(outcome.errors.hasPrefix("grad-plot: \(made.count) pictures in "))
  }

  @Test(arguments: DemoRun.allPrograms)
  func failures(_ filter: DemoRun.Case) throws {
    let (outcome, facts) = try run(filter, input: filter.wrongInput.get())
    guard case .error(let words, let exit) = facts.last else {
      Issue.record("\(facts)")
      return
    }
    #expect(outcome.status == 65 && exit == 65)
    #expect(outcome.errors.hasSuffix("\(filter.program): \(words)\n"))
    #expect(!facts.contains(.end))
  }

  @Test func warnings() throws {
    let filter = try #require(DemoRun.allPrograms.first { $0.program == "wt-tokenize" })
    let (outcome, facts) = try run(filter, ["--num-samples", "1000"])
    let words = facts.compactMap { if case .warning(let words) = $0 { words } else { nil } }
    #expect(words.count == 1 && words[0].hasSuffix(" samples, 1000 were asked for"))
    #expect(outcome.errors.contains("wt-tokenize: warning: \(words.first ?? "?")\n"))
  }

  /// Progress comes while there is something to wait for, with the total as far as it is known, and nobody draws.
  @Test func progressComesMeanwhile() throws {
    let text = try Data(contentsOf: URL(fileURLWithPath: packageRoot + "/demo/sample.txt"))
    let tokens = try DemoRun.output("wt-tokenize", ["--tokenizer", DemoRun.model, "--num-samples", "12"], text)
    let starts = DemoRun.frameStarts(tokens)
    try tokens.prefix(starts[3]).write(to: folder.url("first"))
    try tokens.dropFirst(starts[3]).write(to: folder.url("rest"))
    let outcome = try Program.shell(
      """
      cd '\(folder.path)'
      { cat first; sleep 1; cat rest; } | qwen-capture --model '\(DemoRun.model)' --progress-fd 3 3> 1 |
        act-grad --model '\(DemoRun.model)' --progress-fd 3 3> 2 |
        grad-aggregate --progress-fd 3 3> 3 > /dev/null
      """)
    #expect(outcome.status == 0, "\(outcome.errors)")
    #expect(outcome.errors.firstMatch(of: /\d of \d/) == nil, "\(outcome.errors)")
    for (file, total) in [("1", 12), ("2", 12), ("3", 3)] {
      let seen = try Data(contentsOf: folder.url(file)).split(separator: UInt8(ascii: "\n")).compactMap { line in
        if case .progress(let done, let total, _, _, let seconds)? = Fact.read(line)?.fact {
          (done, total, seconds)
        } else {
          nil
        }
      }
      #expect(seen.count >= 2 && seen.allSatisfy { $0.1 == total } && seen.last?.0 == total, "\(file): \(seen)")
      // All but the closing one.
      for (earlier, later) in zip(seen.dropLast(), seen.dropLast().dropFirst()) {
        #expect(earlier.0 <= later.0 && later.2 - earlier.2 >= 0.2)
      }
    }
  }

  /// A reader that has left, a disk that is full: there are no more facts, and all else is as it was.
  @Test(arguments: DemoRun.allPrograms)
  func whoeverReadsThemMayLeave(_ filter: DemoRun.Case) throws {
    try filter.input.get().write(to: folder.url("in"))
    let expected = try Program(filter.program).run(filter.arguments, input: filter.input.get())
    for target in ["gone", "/dev/full"] {
      let outcome = try Program.shell(
        """
        cd '\(folder.path)'; rm -f gone; mkfifo gone
        exec 4<> gone 3> \(target) 4<&-
        \(filter.commandLine) --progress-fd 3 < in
        """)
      #expect(outcome.status == 0, "\(target): \(outcome.errors)")
      let isSame = outcome.output == expected.output
      #expect(isSame, "\(target)")
    }
  }

  /// Facts of one that reads slowly are not lost, also where the pipe does not wait by itself.
  @Test func slowReaders() throws {
    guard try Program.shell("command -v python3").status == 0 else {
      try Test.cancel("python3, which makes a pipe that does not wait, is not installed")
    }
    try DemoRun.gradients.get().write(to: folder.url("in"))
    // The pipe holds 4096 bytes.
    let python = """
      import fcntl, os, subprocess, time
      read, write = os.pipe()
      fcntl.fcntl(write, 1031, 4096)
      os.set_blocking(write, False)
      program = subprocess.Popen(
        ['grad-aggregate', '-q', '--mode', 'both', '--progress-fd', str(write), '--save', 'd' * 200, 'in'],
        stdout=subprocess.DEVNULL, pass_fds=[write])
      os.close(write)
      time.sleep(0.5)
      text = b''
      while (piece := os.read(read, 512)): text += piece
      print(program.wait(), len(text), text.count(b'"statistics"'), text.count(b'"file"'), text.count(b'"end"'))
      """
    try Data(python.utf8).write(to: folder.url("read.py"))
    let outcome = try Program.shell("cd '\(folder.path)' && python3 read.py")
    let numbers = outcome.text.split(whereSeparator: \.isWhitespace).compactMap { Int($0) }
    #expect(
      numbers.count == 5 && numbers[0] == 0 && numbers[1] > 4096 && numbers[2...] == [8, 8, 1],
      "\(outcome.text)\(outcome.errors)")
  }

  @Test(arguments: DemoRun.allPrograms)
  func descriptorsThatTakeNone(_ filter: DemoRun.Case) throws {
    for (redirection, number) in [("", "9"), ("9< /dev/null", "9"), ("", "1"), ("", "0"), ("", "-1")] {
      let outcome = try Program.shell("\(filter.commandLine) --progress-fd \(number) < /dev/null \(redirection)")
      #expect(
        outcome.failed(
          64, saying: "--progress-fd: expected a descriptor above 1 that is open for writing, found \(number)"),
        "\(outcome.errors)")
    }
    let outcome = try Program.shell("\(filter.commandLine) --progress-fd x < /dev/null")
    #expect(outcome.failed(64, saying: "--progress-fd: expected a number, found 'x'"), "\(outcome.errors)")
    #expect(try Program(filter.program).run(["--help"]).text.contains("--progress-fd <number>"))
  }

  /// Provenance names commands that can be run again.
  @Test func historyHasNoDescriptor() throws {
    for flags in ["--progress-fd 3", "--progress_fd=3"] {
      let outcome = try Program.shell(
        "qwen-capture --layers 1 \(flags) --model '\(DemoRun.model)' -q 3> /dev/null | stream-info -q",
        input: DemoRun.tokens.get())
      #expect(outcome.text.contains("  qwen-capture --layers 1 --model \(DemoRun.model) -q\n"), "\(outcome.text)")
    }
  }
}
