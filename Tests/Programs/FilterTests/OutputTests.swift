import Foundation
import TestSupport
import Testing

/// What becomes of output that cannot be written, and when files appear.
@Suite struct OutputTests {
  @Test(arguments: DemoRun.cases)
  func fullDisk(_ filter: DemoRun.Case) throws {
    let folder = try TemporaryFolder()
    try filter.input.get().write(to: folder.url("in"))
    let outcome = try Program.shell("\(filter.commandLine) < '\(folder.file("in"))' > /dev/full")
    #expect(outcome.status == 74)
    #expect(outcome.errors.contains("\(filter.program): standard output: write failed: No space left on device\n"))
  }

  @Test(arguments: DemoRun.cases)
  func closedOutput(_ filter: DemoRun.Case) throws {
    let folder = try TemporaryFolder()
    try filter.input.get().write(to: folder.url("in"))
    let outcome = try Program.shell("\(filter.commandLine) < '\(folder.file("in"))' >&-")
    #expect(outcome.status == 74, "\(outcome.errors)")
  }

  /// The reader is gone: no error of this program and no message, also where a parent ignores SIGPIPE.
  @Test(arguments: DemoRun.cases, ["", "trap '' PIPE; "])
  func closedReader(_ filter: DemoRun.Case, _ parent: String) throws {
    let folder = try TemporaryFolder()
    try filter.input.get().write(to: folder.url("in"))
    let outcome = try Program.shell(
      "(\(parent)sleep 0.2; exec \(filter.commandLine) < '\(folder.file("in"))') | true; echo ${PIPESTATUS[0]}")
    #expect(outcome.text == "141\n")
    #expect(!outcome.errors.contains("pipe") && !outcome.errors.contains("write"), "\(outcome.errors)")
  }

  @Test func unreadableInput() throws {
    // What is open for writing only can be had, but not read.
    let outcome = try Program.shell("stream-info 0> /dev/null")
    #expect(outcome.failed(74, saying: "stream-info: -: read failed: Bad file descriptor"), "\(outcome.errors)")
  }

  @Test func splitFilesAppearWhenComplete() throws {
    let folder = try TemporaryFolder()
    let tokens = try DemoRun.tokens.get()
    let arguments = DemoRun.modelFlag + ["--layers", "0,3", "--split", folder.file("cap-{layer}.ts")]
    let files = { try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() }
    for cut in [0, 20] + DemoRun.frameStarts(tokens).dropFirst() {
      #expect(try Program("qwen-capture").run(arguments, input: tokens.prefix(cut)).status == 65)
      #expect(try files() == [])
    }
    let outcome = try Program("qwen-capture").run(arguments, input: tokens)
    #expect(outcome.status == 0 && outcome.output.isEmpty)
    #expect(try files() == ["cap-0.ts", "cap-3.ts"])
    let check = try Program("stream-info").run(["--check", folder.file("cap-0.ts"), folder.file("cap-3.ts")])
    #expect(check.status == 0)
    #expect(check.text.split(separator: "\n").count == 2)
    // The file of one layer is worth as much as the stream of both.
    let both = try DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--layers", "0,3"], tokens)
    let fromFile = try DemoRun.output("act-grad", DemoRun.modelFlag, Data(contentsOf: folder.url("cap-0.ts")))
    let fromStream = try DemoRun.output("act-grad", DemoRun.modelFlag, both)
    #expect(try aggregated(fromFile) == aggregated(fromStream))
  }

  /// A program that is killed leaves nothing that looks whole.
  @Test func unfinishedFilesHaveOtherNames() throws {
    let folder = try TemporaryFolder()
    let tokens = try DemoRun.tokens.get()
    try tokens.prefix(DemoRun.frameStarts(tokens)[3]).write(to: folder.url("part"))
    let outcome = try Program.shell(
      """
      cd '\(folder.path)'
      { cat part; sleep 1.5; } | qwen-capture --model '\(DemoRun.model)' --layers 1 --split 'cap-{layer}.ts' &
      sleep 1
      ls | sed 's/[0-9]*.partial/PID.partial/'
      kill -9 $!
      wait
      """)
    #expect(outcome.text == "cap-1.ts.PID.partial\npart\n", "\(outcome.errors)")
    #expect(!exists(folder.file("cap-1.ts")))
  }

  /// A program that is told to stop leaves nothing at all; one that is told to ignore hangups goes on.
  @Test func signalsRemoveUnfinishedFiles() throws {
    // A terminal's, those by which schedulers announce that time is up, and that of a limit of processor time.
    for (signal, status) in [
      ("INT", 130), ("TERM", 143), ("HUP", 129), ("QUIT", 131), ("USR1", 138), ("USR2", 140), ("ALRM", 142),
      ("XCPU", 152),
    ] {
      let folder = try TemporaryFolder()
      let outcome = try Program.shell(
        """
        cd '\(folder.path)'
        mkfifo tokens
        ulimit -c 0
        # A shell's background jobs ignore SIGINT and SIGQUIT; env resets them.
        env --default-signal=INT,QUIT qwen-capture -q --model '\(DemoRun.model)' --layers 1 --split 'cap-{layer}.ts' < tokens &
        exec 3> tokens
        while ! ls | grep -q partial; do sleep 0.05; done
        kill -\(signal) $!
        wait $!
        echo $?
        ls
        """)
      #expect(outcome.text == "\(status)\ntokens\n", "\(outcome.errors)")
    }
  }

  /// The file that has taken the name of an unfinished one is another's.
  @Test func signalsRemoveNobodyElsesFiles() throws {
    let folder = try TemporaryFolder()
    let outcome = try Program.shell(
      """
      cd '\(folder.path)'
      mkfifo tokens
      qwen-capture -q --model '\(DemoRun.model)' --layers 1 --split 'cap-{layer}.ts' < tokens &
      exec 3> tokens
      while ! ls | grep -q partial; do sleep 0.05; done
      name=$(ls | grep partial)
      mv "$name" moved
      echo theirs > "$name"
      kill $!
      wait $!
      cat "$name"
      ls | sed 's/[0-9]*.partial/PID.partial/'
      """)
    #expect(outcome.text == "theirs\ncap-1.ts.PID.partial\nmoved\ntokens\n", "\(outcome.errors)")
  }

  /// A limit of a file's size is a disk that is full for this process.
  @Test func filesAboveTheirLimit() throws {
    let folder = try TemporaryFolder()
    try DemoRun.tokens.get().write(to: folder.url("tokens"))
    let outcome = try Program.shell(
      """
      cd '\(folder.path)'
      ulimit -f 4
      qwen-capture --model '\(DemoRun.model)' --split 'cap-{layer}.ts' < tokens
      status=$?
      ls
      exit $status
      """)
    #expect(outcome.failed(74, saying: ".ts: write failed: File too large"), "\(outcome.errors)")
    #expect(outcome.text == "tokens\n")
  }

  @Test(arguments: ["--help", "--version", "--generate-completion-script bash"]) func helpThatCannotBeWritten(
    _ flag: String
  ) throws {
    for (target, status) in [("/dev/full", 74), ("&-", 74), ("/dev/null", 0)] as [(String, Int32)] {
      let outcome = try Program.shell("stream-info \(flag) >\(target)")
      #expect(outcome.status == status, "\(outcome.errors)")
    }
  }

  @Test func splitIntoAFolderThatIsNotThere() throws {
    let outcome = try Program("qwen-capture").run(
      DemoRun.modelFlag + ["--split", "/no/such/cap-{layer}.ts"], input: DemoRun.tokens.get())
    #expect(outcome.failed(74, saying: "/no/such/cap-0.ts: cannot create"), "\(outcome.errors)")
  }

  @Test func savedArraysAppearOnSuccessOnly() throws {
    let folder = try TemporaryFolder()
    let gradients = try DemoRun.gradients.get()
    let arguments = ["--save", folder.file("deep/er"), "--mode", "both"]
    #expect(try Program("grad-aggregate").run(arguments, input: gradients.dropLast(1)).status == 65)
    // That it can be made was tried beforehand.
    #expect(!exists(folder.file("deep")))
    #expect(try Program("grad-aggregate").run(arguments, input: gradients).status == 0)
    #expect(
      try FileManager.default.contentsOfDirectory(atPath: folder.file("deep/er")).sorted()
        == (0..<4).flatMap { ["layer_\($0)_mean_abs_gradients.npy", "layer_\($0)_mean_gradients.npy"] }.sorted())
  }

  /// What is wrong with one array's name shows before another is saved.
  @Test func allArraysOrNone() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("layer_2_mean_abs_gradients.npy")
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: false)
    let outcome = try Program("grad-aggregate").run(["--save", folder.path], input: try DemoRun.gradients.get())
    #expect(
      outcome.failed(74, saying: "\(path): cannot create: expected a file or nothing of that name, found a folder"))
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["layer_2_mean_abs_gradients.npy"])
  }

  @Test func quietSaysNothing() throws {
    let outcome = try Program("grad-aggregate").run(["-q"], input: DemoRun.gradients.get())
    #expect(outcome.status == 0 && outcome.errors.isEmpty)
  }

  private func aggregated(_ gradients: Data) throws -> [String: [Double]] {
    try averages(DemoRun.output("grad-aggregate", [], gradients))
  }
}
