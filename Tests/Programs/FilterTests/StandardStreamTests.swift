import Foundation
import TestSupport
import Testing

/// What standard error does never changes what becomes of the work; what standard output does always shows.
@Suite struct StandardStreamTests {
  let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Runs a command line with `in` as its input; `gone` is a pipe that nobody reads.
  private func run(_ command: String, input: Data) throws -> Program.Outcome {
    try input.write(to: folder.url("in"))
    return try Program.shell(
      "cd '\(folder.path)'; rm -f gone; mkfifo gone; exec 4<> gone 3> gone 4<&-\n\(command) < in")
  }

  static let targets = ["/dev/full", "&-", "&3"]

  @Test("Standard error that is full, closed or read by nobody", arguments: DemoRun.allPrograms, targets)
  func errorsThatCannotBeSaid(_ filter: DemoRun.Case, _ target: String) throws {
    let expected = try Program(filter.program).run(filter.arguments, input: filter.input.get())
    let outcome = try run("\(filter.commandLine) 2> \(target)".replacing("> &", with: ">&"), input: filter.input.get())
    #expect(expected.status == 0 && outcome.status == 0)
    let isSame = outcome.output == expected.output
    #expect(isSame)
    for (arguments, status) in [("", 65), ("--no-such-flag", 64), ("--progress-fd 9", 64)] as [(String, Int32)] {
      let command = "\(filter.commandLine) \(arguments) 2> \(target)".replacing("> &", with: ">&")
      #expect(try run(command, input: filter.wrongInput.get()).status == status, "\(command)")
    }
    // The two together.
    let both = "\(filter.commandLine) > /dev/full 2> \(target)".replacing("> &", with: ">&")
    #expect(try run(both, input: filter.input.get()).status == 74)
  }

  @Test("Standard output that is full or closed", arguments: DemoRun.allPrograms, ["/dev/full", "&-"])
  func outputThatCannotBeWritten(_ filter: DemoRun.Case, _ target: String) throws {
    for (arguments, input) in [("", filter.input), ("--help", filter.input), ("--version", filter.input)] {
      let command = "\(filter.commandLine) \(arguments) > \(target)".replacing("> &", with: ">&")
      let outcome = try run(command, input: input.get())
      #expect(outcome.status == 74, "\(command): \(outcome.errors)")
      let words = target == "/dev/full" ? "No space left on device" : "Bad file descriptor"
      #expect(
        outcome.errors.contains("\(filter.program): standard output: write failed: \(words)\n"), "\(outcome.errors)")
    }
  }

  /// Pictures are written to files: nothing is lost with standard output.
  @Test func pictures() throws {
    let command = "grad-plot --dpi 20 --output plots > /dev/full"
    for target in Self.targets {
      let outcome = try run("\(command) 2> \(target)".replacing("> &", with: ">&"), input: DemoRun.aggregates.get())
      #expect(outcome.status == 0 && exists(folder.file("plots/all_layers_mean_gradient_histograms.png")))
    }
  }
}
