import FilterSupport
import Foundation
import Glibc
import RunEngine
import SystemIO
import TestSupport
import Testing

/// One after another: a process has one runner at a time.
@Suite(.serialized)
struct ProcessRunnerTests {
  private let folder: TemporaryFolder
  private let programs: ProgramFolder

  /// Programs called first, second and third, which are shells: what they do is in their arguments.
  init() throws {
    folder = try TemporaryFolder()
    programs = ProgramFolder(folder.path)
    for name in ["first", "second", "third"] {
      try FileManager.default.createSymbolicLink(atPath: folder.file(name), withDestinationPath: "/bin/sh")
    }
  }

  private func job(_ scripts: [String], input: String? = nil, output: Int32? = nil) -> Job {
    Job(zip(["first", "second", "third"], scripts).map { Command($0, ["-c", $1]) }, input: input, output: output)
  }

  /// Runs a job to its end.
  private func run(_ job: Job) throws -> (failure: JobFailure?, facts: [Fact]) {
    let runner = try ProcessRunner(programs: programs)
    let number = try runner.start(job)
    var facts: [Fact] = []
    while true {
      switch try runner.next(timeout: 20) {
      case .fact(number, _, let fact): facts.append(fact)
      case .ended(number, let outcome): return (outcome.failure, facts)
      case let event:
        Issue.record("\(event)")
        return (nil, facts)
      }
    }
  }

  @Test func aPipeReadsItsFileAndWritesItsDescriptor() throws {
    try Data("words\n".utf8).write(to: folder.url("in"))
    let output = open(folder.file("out"), O_WRONLY | O_CREAT, 0o600)
    defer { close(output) }
    let ended = try run(job(["cat", "tr a-z A-Z", "cat; cat"], input: folder.file("in"), output: output))
    #expect(ended.failure == nil)
    #expect(try String(contentsOf: folder.url("out"), encoding: .utf8) == "WORDS\n")
    // A job without a file has nothing to read, whatever this process reads.
    #expect(try run(job(["cat", "cat"])).failure == nil)
  }

  /// Reads all and then finds that something is missing.
  private static let cutShort = "cat > /dev/null; echo cut short >&2; exit 65"
  private static let endless = "while :; do echo words; done"

  @Test(
    arguments: [
      (["echo gone >&2; exit 66", cutShort, cutShort], "first", 66, nil, "gone"),
      ([endless, "echo wrong >&2; exit 65", cutShort], "second", 65, nil, "wrong"),
      ([endless, "cat", "echo full >&2; exit 74"], "third", 74, nil, "full"),
      (["kill -KILL $$", cutShort, cutShort], "first", 137, SIGKILL, "first: ended by signal 9, Killed"),
      ([endless, "kill -SEGV $$", cutShort], "second", 139, SIGSEGV, "second: ended by signal 11, Segmentation fault"),
      ([endless, "cat", "exit 7"], "third", 7, nil, "third: failed with code 7"),
      // The reader is content.
      ([endless, "exit 0"], "first", 141, SIGPIPE, "first: ended by signal 13, Broken pipe"),
      // The others would not notice.
      (["sleep 1000", "sleep 1000", "exit 64"], "third", 64, nil, "third: failed with code 64"),
      (["sleep 1000", "exit 65", "sleep 1000"], "second", 65, nil, "second: failed with code 65"),
    ] as [([String], String, Int32, Int32?, String)])
  func theProgramThatFailedByItselfIsNamed(
    scripts: [String], program: String, exitCode: Int32, signal: Int32?, words: String
  ) throws {
    let failure = try run(job(scripts)).failure
    #expect(failure?.program == program)
    #expect(failure?.exitCode == exitCode)
    #expect(failure?.signal == signal)
    #expect(failure?.words == words)
  }

  @Test func aProgramThatIsNotThereIsUnavailable() throws {
    let runner = try ProcessRunner(programs: programs)
    let missing = Job([Command("first", ["-c", "sleep 1000"]), Command("no-such-program", [])])
    #expect {
      _ = try runner.start(missing)
    } throws: {
      let failure = $0 as? Failure
      return failure?.kind == .unavailable
        && failure?.description
          == "no-such-program: neither in \(folder.path) nor on PATH: run make, or make install"
    }
    // What is found and does not run ends what runs before it.
    try Data("no program".utf8).write(to: folder.url("broken"))
    chmod(folder.file("broken"), 0o700)
    #expect {
      _ = try runner.start(Job([Command("first", ["-c", "sleep 1000"]), Command("broken", [])]))
    } throws: {
      "\($0)" == "\(folder.path)/broken: cannot run: Exec format error"
    }
    #expect(try runner.next(timeout: 0) == .idle)
  }

  @Test func anInputThatIsNotThereCannotBeOpened() throws {
    #expect {
      _ = try run(job(["cat"], input: folder.file("missing")))
    } throws: {
      $0 as? Failure == Failure(.cannotOpen, "\(folder.file("missing")): cannot open: No such file or directory")
    }
  }

  @Test func programsHaveTheirDescriptorsAndNoOthers() throws {
    // Neither what this process has open nor what it was given.
    let leaked = open("/dev/null", O_RDONLY)
    defer { close(leaked) }
    let output = open(folder.file("out"), O_WRONLY | O_CREAT, 0o600)
    defer { close(output) }
    _ = try run(job(["cat", "exec ls -1 /proc/self/fd"], output: output))
    let numbers = try String(contentsOf: folder.url("out"), encoding: .utf8)
    // The last is the folder that ls itself reads.
    #expect(numbers == "0\n1\n2\n3\n4\n5\n")
  }

  @Test func manyJobsLeaveNoDescriptorOpen() throws {
    let runner = try ProcessRunner(programs: programs)
    var (running, started, ended) = (0, 0, 0)
    var before = 0
    while ended < 200 {
      while running < 8, started < 200 {
        _ = try runner.start(job(["echo words", "cat"]))
        (running, started) = (running + 1, started + 1)
      }
      guard case .ended(_, let outcome) = try runner.next(timeout: 20) else {
        Issue.record("nothing ended")
        return
      }
      #expect(outcome.failure == nil)
      (running, ended) = (running - 1, ended + 1)
      if ended == 8 { before = openDescriptors }
    }
    // Other tests of this process open files too, but not as many as one of each job would be.
    #expect(openDescriptors < before + 50)
  }

  private var openDescriptors: Int { namesInFolder("/proc/self/fd").count }

  @Test func aProgramThatIgnoresSignalsIsKilled() throws {
    let runner = try ProcessRunner(programs: programs, patience: 0.3)
    let stubborn = try runner.start(
      job(["trap '' TERM; echo '{\"event\":\"end\",\"program\":\"\"}' >&3; while :; do sleep 0.01; done"]))
    #expect(try runner.next(timeout: 20) == .fact(job: stubborn, program: "first", .end))
    let obedient = try runner.start(job(["sleep 1000", "sleep 1000"]))
    let stopped = try runner.start(job(["kill -STOP $$"]))
    let start = monotonicSeconds()
    runner.endAll(signal: SIGTERM)
    #expect((0.3..<5).contains(monotonicSeconds() - start))
    var codes: [Int: Int32] = [:]
    while case .ended(let number, let outcome) = try runner.next(timeout: 0) {
      codes[number] = outcome.failure?.exitCode
    }
    #expect(codes == [stubborn: 137, obedient: 143, stopped: 143])
  }

  @Test func wordsAreReadHoweverManyAndTheirEndsKept() throws {
    let failure = try run(
      job([
        #"echo first >&2; i=0; while [ $i -lt 4000 ]; do printf 'a line \033[31m with colour %d\n' $i >&2; i=$((i+1)); done; exit 70"#
      ])
    ).failure
    #expect(failure?.exitCode == 70)
    let words = try #require(failure?.words)
    #expect(words.hasPrefix("first\na line \\u{1b}[31m with colour 0\n"))
    #expect(words.hasSuffix("with colour 3999"))
    #expect(words.utf8.count < 2 * Words.limit)
  }

  @Test func factsComeInWholeLines() throws {
    let script = #"""
      printf '{"event":"no' >&3; sleep 0.1; printf 'te","program":"x","message":"half"}\n{"event":"end","program":"x"}\n' >&3
      printf 'nonsense\n\n{"event":"unheard-of","program":"x"}\n[[[[\n\377\n' >&3
      head -c 300000 /dev/zero >&3
      printf '\n{"event":"warning","program":"x","message":"last"}\n{"event":"end"' >&3
      """#
    let ended = try run(job([script]))
    #expect(ended.failure == nil)
    #expect(ended.facts == [.note("half"), .end, .warning("last")])
  }

  @Test func theWordsOfAnErrorAreThoseOfItsFact() throws {
    let script = #"""
      echo 'first: warning: of little use' >&2
      echo '{"event":"error","program":"x","message":"in: not a\u001b stream","exit":65}' >&3; exit 65
      """#
    #expect(try run(job([script])).failure?.words == "first: in: not a\\u{1b} stream")
  }

  @Test func signalsComeAsEventsAndAreAsBeforeAfterwards() throws {
    var (before, after) = (sigaction(), sigaction())
    sigaction(SIGTERM, nil, &before)
    do {
      let runner = try ProcessRunner(programs: programs)
      _ = try runner.start(job(["sleep 1000"]))
      kill(getpid(), SIGTERM)
      #expect(try runner.next(timeout: 20) == .interrupted(signal: SIGTERM))
      // The runner's end is that of its programs.
    }
    sigaction(SIGTERM, nil, &after)
    #expect(
      unsafeBitCast(before.__sigaction_handler.sa_handler, to: Int.self)
        == unsafeBitCast(after.__sigaction_handler.sa_handler, to: Int.self))
  }

  /// What the death of the process does by itself: nobody waits for the programs, and nobody sends a signal.
  @Test func programsEndWhenNobodyIsLeftToReadThem() throws {
    let file = folder.file("process")
    var abandoned: RunningJob? = try RunningJob(
      job(["sleep 1000 & echo $! > '\(file).new'; mv '\(file).new' '\(file)'; wait"]), number: 1, programs: programs,
      environment: ["PATH=/usr/bin:/bin"])
    while !FileManager.default.fileExists(atPath: file) { usleep(10_000) }
    let grandchild = try #require(Int(try String(contentsOfFile: file, encoding: .utf8).dropLast()))
    let child = abandoned!.group
    #expect(isRunning(grandchild))
    abandoned = nil
    var status: Int32 = 0
    #expect(waitpid(child, &status, 0) == child)
    #expect(status & 0x7f == SIGTERM)
    for _ in 0..<500 where isRunning(grandchild) { usleep(10_000) }
    #expect(!isRunning(grandchild))
  }

  /// One that has ended and waits for its parent does not count.
  private func isRunning(_ process: Int) -> Bool {
    guard let line = try? String(contentsOfFile: "/proc/\(process)/stat", encoding: .utf8) else { return false }
    return !line.contains(") Z ")
  }
}
