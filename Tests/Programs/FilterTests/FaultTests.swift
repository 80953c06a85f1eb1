import Foundation
import Glibc
import SystemIO
import TensorStream
import TestSupport
import Testing

/// What the world outside does to a program: every failure is one line and an exit code, never a crash or a wrong end.
@Suite struct FaultTests {
  /// Every stream program on a stream of two small batches.
  private static let small: [DemoRun.Case] = {
    let tokens = Result { Data(try tokenStream([[[1, 2, 3], [4, 5]], [[6, 7]]])) }
    let activations = Result {
      try DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--layers", "3"], tokens.get())
    }
    let gradients = Result { try DemoRun.output("act-grad", DemoRun.modelFlag, activations.get()) }
    let sae = ["--sae", packageRoot + "/demo/saes/mlp_out_layer_{layer}/trainer_0", "--quiet"]
    return [
      .init(program: "qwen-capture", arguments: DemoRun.modelFlag, input: tokens, wrongInput: gradients),
      .init(program: "act-grad", arguments: DemoRun.modelFlag, input: activations, wrongInput: tokens),
      .init(program: "sae-grad", arguments: DemoRun.modelFlag + sae, input: activations, wrongInput: tokens),
      .init(program: "grad-aggregate", arguments: ["--quiet"], input: gradients, wrongInput: tokens),
    ]
  }()

  /// A copy of the demo's model whose files may be spoilt.
  private func modelCopy() throws -> TemporaryFolder {
    let folder = try TemporaryFolder()
    for name in ["config.json", "model.safetensors"] {
      try FileManager.default.copyItem(atPath: "\(DemoRun.model)/\(name)", toPath: folder.file(name))
    }
    return folder
  }

  /// Runs `program` on a stream that stops in the middle until `fault` is done.
  private func run(_ command: String, stream: Data, during fault: String) throws -> Program.Outcome {
    let folder = try TemporaryFolder()
    try stream.write(to: folder.url("in"))
    let half = DemoRun.frameStarts(stream)[2]
    return try Program.shell(
      """
      mkfifo '\(folder.file("pipe"))'
      \(command) < '\(folder.file("pipe"))' > '\(folder.file("out"))' & program=$!
      exec 3> '\(folder.file("pipe"))'
      head -c \(half) '\(folder.file("in"))' >&3
      for i in {1..100}; do [ -s '\(folder.file("out"))' ] && break; sleep 0.05; done
      \(fault)
      tail -c +\(half + 1) '\(folder.file("in"))' >&3
      exec 3>&-
      wait $program; code=$?
      stream-info --check '\(folder.file("out"))' > /dev/null 2>&1 && echo whole
      exit $code
      """)
  }

  @Test func aModelThatIsCutShortWhileItIsUsed() throws {
    let folder = try modelCopy()
    let outcome = try run(
      "qwen-capture --quiet --model '\(folder.path)'", stream: DemoRun.tokens.get(),
      during: "truncate -s 4096 '\(folder.file("model.safetensors"))'")
    #expect(outcome.failed(74, saying: "/model.safetensors: "), "\(outcome.status) \(outcome.errors)")
    #expect(!outcome.text.contains("complete:"))
  }

  @Test func aModelThatIsWrittenToWhileItIsUsed() throws {
    let folder = try modelCopy()
    let outcome = try run(
      "qwen-capture --quiet --model '\(folder.path)'", stream: DemoRun.tokens.get(),
      during: "printf x | dd of='\(folder.file("model.safetensors"))' bs=1 seek=100000 conv=notrunc 2> /dev/null")
    #expect(outcome.failed(74, saying: "/model.safetensors: changed while it was in use"), "\(outcome.errors)")
    #expect(!outcome.text.contains("complete:"))
    #expect(try Program("qwen-capture").run(["--model", folder.path], input: DemoRun.tokens.get()).status == 0)
  }

  /// A program killed for a lost page takes its unfinished files along.
  @Test func lostPagesLeaveNothingBehind() throws {
    let (folder, out) = (try modelCopy(), try TemporaryFolder())
    let tokens = try DemoRun.tokens.get()
    try tokens.write(to: out.url("in"))
    let outcome = try Program.shell(
      """
      { head -c \(DemoRun.frameStarts(tokens)[2]) '\(out.file("in"))'; sleep 1
        truncate -s 4096 '\(folder.file("model.safetensors"))'
        tail -c +\(DemoRun.frameStarts(tokens)[2] + 1) '\(out.file("in"))'; } |
        qwen-capture --quiet --model '\(folder.path)' --split '\(out.path)/cap-{layer}.ts'
      """)
    #expect(outcome.failed(74, saying: "/model.safetensors: "), "\(outcome.status) \(outcome.errors)")
    #expect(try FileManager.default.contentsOfDirectory(atPath: out.path) == ["in"])
  }

  /// From a limit that the programs start within to one that suffices: enough, or a message with the amount.
  @Test(arguments: small)
  func littleMemory(_ filter: DemoRun.Case) throws {
    let folder = try TemporaryFolder()
    try filter.input.get().write(to: folder.url("in"))
    for megabytes in [150, 200, 260, 330, 420, 2000] {
      let outcome = try Program.shell(
        "ulimit -v \(megabytes * 1024); timeout 60 \(filter.commandLine) --threads 2 < '\(folder.file("in"))'")
      if outcome.status == 0 { continue }
      #expect(megabytes < 2000)
      #expect(
        outcome.failed(71, saying: "out of memory: ") && outcome.errors.contains(" bytes more were needed"),
        "\(megabytes) MB: \(outcome.status): \(outcome.errors)")
    }
  }

  /// Where the system grants no thread, the work is done by the one there is.
  @Test func noThreads() throws {
    let expected = try DemoRun.output("qwen-capture", DemoRun.modelFlag, DemoRun.tokens.get())
    let folder = try TemporaryFolder()
    try DemoRun.tokens.get().write(to: folder.url("in"))
    let shim = try folder.library(
      "int pthread_create(void *a, void *b, void *c, void *d) { return 11; }")
    let outcome = try Program.shell(
      "LD_PRELOAD='\(shim)' qwen-capture \(DemoRun.modelFlag[0]) '\(DemoRun.model)' --threads 4 --quiet "
        + "< '\(folder.file("in"))'")
    #expect(outcome.status == 0 && outcome.errors.isEmpty, "\(outcome.errors)")
    #expect(outcome.output.count > 10_000 && abs(outcome.output.count - expected.count) < expected.count / 10)
  }

  /// Nothing large lies on the stack.
  @Test(arguments: small)
  func littleStack(_ filter: DemoRun.Case) throws {
    let folder = try TemporaryFolder()
    try filter.input.get().write(to: folder.url("in"))
    let outcome = try Program.shell("ulimit -s 256; \(filter.commandLine) < '\(folder.file("in"))' > /dev/null")
    #expect(outcome.status == 0, "\(outcome.errors)")
    let tokens = try Program.shell(
      "ulimit -s 256; wt-tokenize --tokenizer '\(DemoRun.model)' '\(packageRoot)/demo/sample.txt' > /dev/null")
    #expect(tokens.status == 0, "\(tokens.errors)")
  }

  /// A signal every millisecond, reads and writes of a few bytes at a time, and a clock that jumps.
  @Test(arguments: small)
  func interruptionsChangeNothing(_ filter: DemoRun.Case) throws {
    let folder = try TemporaryFolder()
    try filter.input.get().write(to: folder.url("in"))
    let shim = try folder.library(
      """
      #define _GNU_SOURCE
      #include <dlfcn.h>
      #include <errno.h>
      #include <signal.h>
      #include <stdlib.h>
      #include <sys/time.h>
      #include <sys/uio.h>
      #include <time.h>
      #include <unistd.h>
      static unsigned calls;
      static void ignore(int signal) {}
      __attribute__((constructor)) static void start(void) {
        struct sigaction action = {.sa_handler = ignore};
        sigaction(SIGALRM, &action, 0);
        struct itimerval timer = {{0, 1000}, {0, 1000}};
        setitimer(ITIMER_REAL, &timer, 0);
      }
      ssize_t read(int file, void *bytes, size_t count) {
        ssize_t (*next)(int, void *, size_t) = dlsym(RTLD_NEXT, "read");
        if (++calls % 3 == 0) { errno = EINTR; return -1; }
        return next(file, bytes, count > 0 && file == 0 ? calls % 7 + 1 : count);
      }
      ssize_t write(int file, const void *bytes, size_t count) {
        ssize_t (*next)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
        if (++calls % 3 == 0) { errno = EINTR; return -1; }
        return next(file, bytes, count > 1000 ? 999 : count);
      }
      ssize_t writev(int file, const struct iovec *parts, int count) {
        ssize_t (*next)(int, const struct iovec *, int) = dlsym(RTLD_NEXT, "writev");
        if (++calls % 3 == 0) { errno = EINTR; return -1; }
        struct iovec cut[2] = {parts[0], parts[count > 1]};
        if (cut[count > 1].iov_len > 1000) cut[count > 1].iov_len = 999;
        if (cut[0].iov_len > 1000) return next(file, cut, 1);
        return next(file, cut, count > 1 ? 2 : 1);
      }
      int clock_gettime(clockid_t clock, struct timespec *time) {
        time->tv_sec = calls % 2 ? 4000000000 : 7;
        time->tv_nsec = 0;
        return 0;
      }
      """)
    let plain = try Program.shell("\(filter.commandLine) < '\(folder.file("in"))'")
    let disturbed = try Program.shell("LD_PRELOAD='\(shim)' \(filter.commandLine) < '\(folder.file("in"))'")
    #expect(disturbed.status == 0, "\(disturbed.errors)")
    #expect(disturbed.output == plain.output)
  }

  /// What surrounds a program does not change what it writes.
  @Test(arguments: small)
  func surroundingsChangeNothing(_ filter: DemoRun.Case) throws {
    let folder = try TemporaryFolder()
    try filter.input.get().write(to: folder.url("in"))
    let plain = try Program.shell("\(filter.commandLine) < '\(folder.file("in"))'")
    #expect(plain.status == 0)
    for surroundings in [
      "export LC_ALL=de_DE.UTF-8 LANG=tr_TR.UTF-8", "export LC_ALL=C", "umask 777", "umask 0", "cd /", "exec 2>&-",
      "export TZ=Pacific/Apia", "unset HOME PATH_TO_NOTHING",
    ] {
      let outcome = try Program.shell("\(surroundings); \(filter.commandLine) < '\(folder.file("in"))'")
      #expect(outcome.status == 0 && outcome.output == plain.output, "\(surroundings): \(outcome.errors)")
    }
    let closed = try Program.shell("\(filter.commandLine) <&-")
    #expect(closed.failed(74, saying: "-: read failed: Bad file descriptor"), "\(closed.errors)")
  }

  /// Cut at every byte, and with every byte wrong: nothing passes.
  @Test(arguments: small)
  func everyByteCutAndEveryByteWrong(_ filter: DemoRun.Case) throws {
    let input = try filter.input.get()
    // Thousands of processes take minutes: as many bytes as there is time for, others in every program.
    let step = max(1, input.count / (environmentNumber("FAULT_CASES") ?? 60))
    for byte in stride(from: 0, to: input.count, by: step) {
      let cut = try Program(filter.program).run(filter.arguments, input: input.prefix(byte))
      #expect(cut.failed(65, saying: "\(filter.program): -: "), "cut at \(byte): \(cut.errors)")
      var damaged = input
      damaged[byte] ^= UInt8(1 << (byte % 8))
      let flipped = try Program(filter.program).run(filter.arguments, input: damaged)
      #expect(flipped.failed(65, saying: "\(filter.program): -: record "), "byte \(byte): \(flipped.errors)")
    }
  }

  /// A batch of one sample of one token has no prediction: its gradients are zeros, and it counts as a sample.
  @Test func theSmallestSample() throws {
    let tokens = Data(try tokenStream([[[5]]]))
    let activations = try DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--loss"], tokens)
    let sae = ["--sae", packageRoot + "/demo/saes/mlp_out_layer_{layer}/trainer_0", "--dense"]
    for gradients in [
      try DemoRun.output("act-grad", DemoRun.modelFlag, activations),
      try DemoRun.output("sae-grad", DemoRun.modelFlag + sae, activations),
    ] {
      let result = try averages(DemoRun.output("grad-aggregate", ["--mode", "both"], gradients))
      #expect(result["weight.mlp_out.0"] == [1] && result["loss.mlp_out.0"] == [0])
      #expect(result["mean_abs.mlp_out.3"]!.allSatisfy { $0 == 0 } && result["mean.mlp_out.3"]!.allSatisfy { $0 == 0 })
    }
  }

  /// A layer of one dimension, named twice, and a batch of no samples.
  @Test func oneDimensionAndNoSample() throws {
    let gradients = Data(
      try streamBytes { writer in
        try writer.begin(.gradients, provenance: ["places": "mlp_out.0"])
        for (batch, samples) in [[Int64(0)], []].enumerated() {
          var record = OutputRecord()
          let counts = samples.map { _ in Int32(1) }
          GradientBatch(
            cuPositions: [0] + counts, position: samples.map { _ in 0 }, token: samples.map { _ in 0 },
            sampleIndex: samples, predictions: counts
          ).add(to: &record)
          record.add("grad.mlp_out.0", samples.map { _ in Float(-2) }, shape: [samples.count, 1])
          try writer.write(record, batch: batch)
        }
        try writer.end()
      })
    let aggregates = try DemoRun.output("grad-aggregate", ["--mode", "both"], gradients)
    #expect(try averages(aggregates)["mean.mlp_out.0"] == [-2] && averages(aggregates)["mean_abs.mlp_out.0"] == [2])
    let folder = try TemporaryFolder()
    #expect(try Program("grad-plot").run(["--output", folder.path], input: aggregates).status == 0)
    for program in ["qwen-capture", "act-grad"] {
      let tokens = Data(try tokenStream([[], [[1, 2]]]))
      let input =
        program == "act-grad"
        ? try DemoRun.output("qwen-capture", DemoRun.modelFlag + ["--layers", "0,0,0-0"], tokens) : tokens
      #expect(try Program(program).run(DemoRun.modelFlag, input: input).status == 0)
    }
  }

  @Test func aPipeInPlaceOfAModelsFile() throws {
    let folder = try modelCopy()
    try FileManager.default.removeItem(atPath: folder.file("model.safetensors"))
    #expect(mkfifo(folder.file("model.safetensors"), 0o600) == 0)
    let outcome = try Program.shell("timeout 20 qwen-capture --model '\(folder.path)' < /dev/null")
    #expect(outcome.failed(66, saying: "cannot open: expected a file, found a pipe"), "\(outcome.errors)")
  }

  /// A folder in place of a stream is no failed read.
  @Test(arguments: small)
  func aFolderInPlaceOfTheInput(_ filter: DemoRun.Case) throws {
    let outcome = try Program.shell("\(filter.commandLine) < /")
    #expect(outcome.failed(66, saying: "\(filter.program): -: cannot open: is a directory"), "\(outcome.errors)")
  }

  /// Of the system's functions the programs call none that reaches the network or runs something.
  @Test(arguments: [
    "wt-tokenize", "qwen-capture", "act-grad", "sae-grad", "grad-aggregate", "grad-plot", "grad-table",
    "grad-contexts", "grad-report", "stream-info",
  ])
  func nothingIsReachedOrRun(_ program: String) throws {
    let outcome = try Program.shell("nm -D --undefined-only '\(Program(program).path)'")
    let functions = Set(
      outcome.text.split(separator: "\n").compactMap { $0.split(separator: " ").last?.prefix { $0 != "@" } })
    #expect(functions.contains("mmap") || functions.contains("read"), "\(outcome.errors)")
    let forbidden: Set<Substring> = [
      "socket", "connect", "getaddrinfo", "gethostbyname", "execve", "execv", "execvp", "fork", "vfork", "posix_spawn",
      "posix_spawnp", "system", "popen",
    ]
    #expect(functions.isDisjoint(with: forbidden), "\(functions.intersection(forbidden))")
  }

  @Test func messagesObeyNoFile() throws {
    let begin = safetensors([
      "record": "begin", "format": "tensor-stream/2", "kind": "tokens\u{1b}]0;title\u{7}\nnext line",
    ])
    let outcome = try Program("stream-info").run([], input: Data(HandmadeFrame(begin).bytes))
    #expect(outcome.failed(65, saying: "found tokens\\u{1b}]0;title\\u{7}\\nnext line"), "\(outcome.errors)")
    let folder = try TemporaryFolder()
    try DemoRun.tokens.get().write(to: folder.url("a\u{1b}[31m\nb"))
    for flag in ["--check", "--all"] {
      let named = try Program("stream-info").run([flag, folder.file("a\u{1b}[31m\nb")])
      #expect(named.status == 0 && named.text.contains("/a\\u{1b}[31m\\nb: "), "\(named.text)")
    }
    let listed = try Program("stream-info").run(
      [], input: Data(tokenStream([[[1]]], provenance: ["text\u{9b}": "\u{202e}a\u{1b}[2J"])))
    #expect(listed.text.contains("  text\\u{9b}  \\u{202e}a\\u{1b}[2J\n"), "\(listed.text)")
  }
}

private func environmentNumber(_ name: String) -> Int? { getenv(name).flatMap { Int(String(cString: $0)) } }

extension TemporaryFolder {
  /// A shared library of C code that stands between a program and the system.
  func library(_ code: String) throws -> String {
    try code.write(to: url("shim.c"), atomically: true, encoding: .utf8)
    let outcome = try Program.shell("cc -shared -fPIC -w -o '\(file("shim.so"))' '\(file("shim.c"))' -ldl")
    guard outcome.status == 0 else { throw Failure(.bug, "cc: \(outcome.errors)") }
    return file("shim.so")
  }
}
