import SystemIO
import TensorStream

/// Shows the segments of streams and their records, one file after another. What is wrong with one is said of its file.
public func readSegments(
  of files: [InputFile], begin: (Segment) throws -> Void, _ body: (Record) throws -> Void
) throws {
  for file in files {
    let reader = StreamReader(file)
    while let segment = try reader.nextSegment() {
      do {
        try begin(segment)
        while let record = try Trace.span("read", reader.nextRecord) { try body(record) }
      } catch let failure as Failure where !failure.description.hasPrefix("\(file.name): ") {
        throw failure.at(file.name)
      }
    }
  }
}
