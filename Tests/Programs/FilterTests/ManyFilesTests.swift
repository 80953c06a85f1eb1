import Foundation
import TensorStream
import TestSupport
import Testing

/// What programs that take files do with many of them, and with some that they cannot read.
@Suite struct ManyFilesTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Each program that takes files, in a folder with one that it reads as `good` and a damaged one as `bad`.
  private static let programs = [
    "wt-tokenize --tokenizer '\(DemoRun.model)'", "grad-aggregate", "stream-info --check", "grad-table",
    "grad-contexts --features 0:1 --by gradient",
  ]

  private func shell(_ command: String) throws -> Program.Outcome {
    try Program.shell("cd '\(folder.path)' && \(command)")
  }

  private func write(goodFor program: String) throws {
    if program.hasPrefix("wt-tokenize") {
      try Data("A line that is long enough to be a sample, with a line feed.\n".utf8).write(to: folder.url("good"))
      try Data([0xff, 0x0a]).write(to: folder.url("bad"))
    } else {
      let stream = program.hasPrefix("grad-table") ? try DemoRun.aggregates.get() : try DemoRun.gradients.get()
      try stream.write(to: folder.url("good"))
      try stream.dropLast(1).write(to: folder.url("bad"))
    }
  }

  /// The gradients 1, 2, 3, … of one sample each, a file each.
  private func writeGradients(_ count: Int) throws {
    for number in 1...count {
      let stream = try streamBytes { writer in
        try writer.begin(.gradients, provenance: [:])
        var record = OutputRecord()
        GradientBatch(cuPositions: [0, 1], position: [0], token: [0], sampleIndex: [Int64(number)], predictions: [1])
          .add(to: &record)
        record.add("grad.mlp_out.0", [Float(number)], shape: [1, 1])
        try writer.write(record, batch: 0)
        try writer.end()
      }
      try Data(stream).write(to: folder.url("\(number).ts"))
    }
  }

  @Test func moreThanMayBeOpen() throws {
    try writeGradients(150)
    for number in 1...150 {
      let text = "This is the text number \(number), and its only line is long enough to be a sample.\n"
      try Data(text.utf8).write(to: folder.url("\(number).txt"))
    }
    let limit = "ulimit -Sn 64 && "
    let tokens = try shell("\(limit)wt-tokenize -q --tokenizer '\(DemoRun.model)' --num-samples 150 *.txt")
    #expect(tokens.status == 0, "\(tokens.errors)")
    let reader = StreamReader(try ReusedFile().opened(with: Array(tokens.output)))
    #expect(try reader.nextSegment(.tokens)?.provenance["samples"] == "150")
    let averages = try shell("\(limit)grad-aggregate -q *.ts | grad-table --top 1")
    #expect(averages.text.contains("75.5"), "\(averages.text) \(averages.errors)")
    let info = try shell("\(limit)stream-info --check *.ts | wc -l")
    #expect(info.text == "150\n", "\(info.errors)")
    expect(try shell("for i in {1..150}; do grad-aggregate -q $i.ts > /dev/null --save $i || exit; done"))
    expect(try shell("for i in {1..150}; do mv $i/layer_0_mean_abs_gradients.npy layer_${i}_mean_gradients.npy; done"))
    let plot = try shell("\(limit)grad-table --top 1 *.npy | wc -l")
    #expect(plot.status == 0 && Int(plot.text.dropLast())! >= 150, "\(plot.errors)")
  }

  private func expect(_ outcome: Program.Outcome) { #expect(outcome.status == 0, "\(outcome.errors)") }

  /// Before anything is read: the first file would be refused by another code.
  @Test(arguments: programs) func whatCannotBeRead(_ program: String) throws {
    try write(goodFor: program)
    let bad = try shell("\(program) bad")
    #expect(bad.status == 65, "\(bad.errors)")
    for (input, status, message) in [
      ("bad missing", 66, "missing: cannot open: No such file or directory"),
      ("bad /", 66, "/: cannot open: is a directory"),
      ("- good - < bad", 64, "-: standard input was named twice, but can be read only once"),
      ("< /", 66, "-: cannot open: is a directory"), ("bad - < /", 66, "-: cannot open: is a directory"),
    ] as [(String, Int32, String)] {
      let outcome = try shell("\(program) \(input)")
      #expect(outcome.failed(status, saying: message) && outcome.output.isEmpty, "\(input): \(outcome.errors)")
    }
  }

  /// A pipe is opened once, when it is read.
  @Test(arguments: programs) func pipes(_ program: String) throws {
    try write(goodFor: program)
    for pipe in ["<(cat good)", "pipe", "- < pipe", "< pipe"] {
      expect(
        try shell("rm -f pipe; mkfifo pipe; if [[ '\(pipe)' == *pipe ]]; then cat good > pipe & fi; \(program) \(pipe)")
      )
    }
  }

  /// A folder that cannot be made, and one that no file can be made in.
  @Test(arguments: ["bad/folder", "/proc/self"]) func foldersThatCannotBeWritten(_ save: String) throws {
    try write(goodFor: "grad-aggregate")
    let outcome = try shell("grad-aggregate --save \(save) bad")
    #expect(outcome.failed(74, saying: "\(save): cannot "), "\(outcome.errors)")
    #expect(outcome.output.isEmpty)
    #expect(try shell("ls -A").text == "bad\ngood\n")
    expect(try shell("grad-aggregate --save new/folder good > /dev/null && ls -A new/folder"))
    #expect(try shell("ls -A new/folder | grep -v '^layer_'").text == "")
  }
}
