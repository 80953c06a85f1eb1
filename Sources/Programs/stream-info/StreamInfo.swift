import ArgumentParser
import FilterSupport
import JSON
import SystemIO
import TensorFiles
import TensorStream

@main
struct StreamInfo: Filter {
  static let configuration = CommandConfiguration(
    commandName: "stream-info",
    abstract: "List the segments, records and tensors of a tensor stream.",
    discussion: """
      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt > tokens.ts
            stream-info tokens.ts
            stream-info --check tokens.ts && qwen-capture --model demo/model \\
              < tokens.ts > acts.ts
      Every record is read and verified; --check says only whether the stream is whole (exit 0) or not (65).
      """,
    version: packageVersion)

  @Flag(help: "Verify and print one line a stream instead of the listing.")
  var check = false

  @Flag(help: "List every tensor of every record, not only those of each segment's first data record.")
  var all = false

  @OptionGroup var messages: MessageOptions

  @Argument(help: "Streams to read; standard input where none is given.", completion: .file())
  var files: [String] = []

  func filter() throws {
    let output = OutputFile.standardOutput()
    // Its listing tells people how far it is.
    var silent = messages
    silent.quiet = true
    let progress = Progress(unit: "records", silent)
    for file in try InputFile.standardInputOr(files) { try list(file, to: output, progress) }
    try output.finish()
    progress.finish()
  }

  private func list(_ file: InputFile, to output: OutputFile, _ progress: Progress) throws {
    let reader = StreamReader(file)
    var kinds: [String] = []
    var dataRecords = 0
    var bytes = 0
    while let segment = try reader.nextSegment() {
      if !check { try output.write(heading(segment, number: kinds.count, of: file.name)) }
      kinds.append(segment.kind.rawValue)
      let first = dataRecords
      while let record = try reader.nextRecord() {
        if !check {
          try output.write(
            "  record \(record.number)  batch \(printable(record.metadata["batch"] ?? "?"))  \(record.bytes.count) bytes\n"
          )
          if all || dataRecords == first { try output.write(listing(record)) }
        }
        dataRecords += 1
        bytes += record.bytes.count
        progress.advance(1)
      }
      if !check { try output.write("  end: \(dataRecords - first) data records\n") }
    }
    if check {
      let kind = Set(kinds).sorted().joined(separator: "+")
      try output.write(
        "\(printable(file.name)): whole: \(kind), segments \(kinds.count), data records \(dataRecords), bytes \(bytes)\n"
      )
    }
  }

  private func heading(_ segment: Segment, number: Int, of name: String) -> String {
    let pairs = segment.provenance.sorted { $0.key < $1.key }
    return "\(printable(name)): segment \(number): \(segment.kind.rawValue)\n"
      + pairs.map { "  \(printable($0.key))  \(printable($0.value))\n" }.joined()
  }

  private func listing(_ record: Record) -> String {
    record.header.tensors.map { "    \(printable($0.name))  \($0.type.rawValue) \($0.shape)\n" }.joined()
  }
}
