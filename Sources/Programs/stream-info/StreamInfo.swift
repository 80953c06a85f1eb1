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
      Reads every record to the end of the stream and verifies it, checksums included. The exit code is 0 if the stream \
      is complete and undamaged, and 65 if it is not.

      \(exampleFiles)

      e.g.  wt-tokenize --tokenizer demo/model demo/sample.txt > tokens.ts
            stream-info tokens.ts
            stream-info --check tokens.ts && qwen-capture --model demo/model \\
              < tokens.ts > acts.ts
            stream-info --json acts.ts > records.jsonl
      """,
    version: packageVersion)

  @Flag(help: "Print one line per stream instead of the listing.")
  var check = false

  @Flag(help: "List the tensors of every record, instead of only those of each segment's first data record.")
  var all = false

  @Flag(
    help: """
      Print lines of JSON: an object for each record, begin and end records included, with all its tensors; with --check \
      an object for each stream.
      """)
  var json = false

  @OptionGroup var messages: MessageOptions

  @Argument(help: "Streams. Without any, standard input is read.", completion: .file())
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
    let listing: any StreamListing = json ? JSONListing(name: file.name) : TextListing(name: file.name, isFull: all)
    var total = StreamTotal(name: file.name)
    while let segment = try reader.nextSegment() {
      if !check { try output.write(listing.begin(segment, number: total.segments, record: reader.recordNumber - 1)) }
      total.kind = segment.kind
      let before = total
      while let record = try reader.nextRecord() {
        if !check {
          let isFirst = total.dataRecords == before.dataRecords
          try output.write(listing.data(record, segment: total.segments, isFirst: isFirst))
        }
        total.dataRecords += 1
        total.bytes += record.bytes.count
        progress.advance(1)
      }
      if !check {
        try output.write(
          listing.end(
            segment: total.segments, record: reader.recordNumber - 1,
            dataRecords: total.dataRecords - before.dataRecords,
            bytes: total.bytes - before.bytes))
      }
      total.segments += 1
    }
    if check { try output.write(json ? total.json : total.text) }
  }
}
