import JSON
import SystemIO
import TensorFiles
import TensorStream

/// What is printed of a stream's records, in one of two forms.
protocol StreamListing {
  /// - Parameters:
  ///   - number: the segment's in the stream, counted from 0.
  ///   - record: the number of its begin record.
  func begin(_ segment: Segment, number: Int, record: Int) -> String
  /// - Parameter isFirst: whether it is its segment's first data record.
  func data(_ record: Record, segment: Int, isFirst: Bool) -> String
  func end(segment: Int, record: Int, dataRecords: Int, bytes: Int) -> String
}

/// For people: indented lines.
struct TextListing: StreamListing {
  let name: String
  /// Whether the tensors of every record are listed, or only those of each segment's first one.
  let isFull: Bool

  func begin(_ segment: Segment, number: Int, record: Int) -> String {
    let pairs = segment.provenance.sorted { $0.key < $1.key }
    return "\(printable(name)): segment \(number): \(segment.kind.rawValue)\n"
      + pairs.map { "  \(printable($0.key))  \(printable($0.value))\n" }.joined()
  }

  func data(_ record: Record, segment: Int, isFirst: Bool) -> String {
    let batch = printable(record.metadata["batch"] ?? "?")
    let line = "  record \(record.number)  batch \(batch)  \(record.bytes.count) bytes\n"
    guard isFull || isFirst else { return line }
    return line + record.header.tensors.map { "    \(printable($0.name))  \($0.type.rawValue) \($0.shape)\n" }.joined()
  }

  func end(segment: Int, record: Int, dataRecords: Int, bytes: Int) -> String { "  end: \(dataRecords) data records\n" }
}

/// For programs: an object a line.
struct JSONListing: StreamListing {
  let name: String

  func begin(_ segment: Segment, number: Int, record: Int) -> String {
    line(
      number, record, "begin",
      [("kind", JSON.quote(segment.kind.rawValue)), ("provenance", object(segment.provenance))])
  }

  func data(_ record: Record, segment: Int, isFirst: Bool) -> String {
    let tensors = record.header.tensors.map { tensor in
      JSON.object([
        ("name", JSON.quote(tensor.name)), ("dtype", JSON.quote(tensor.type.rawValue)),
        ("shape", JSON.array(tensor.shape.map { "\($0)" })),
      ])
    }
    return line(
      segment, record.number, "data",
      [
        ("metadata", object(record.metadata.filter { $0.key != "record" })), ("bytes", "\(record.bytes.count)"),
        ("tensors", JSON.array(tensors)),
      ])
  }

  func end(segment: Int, record: Int, dataRecords: Int, bytes: Int) -> String {
    line(segment, record, "end", [("data_records", "\(dataRecords)"), ("bytes", "\(bytes)")])
  }

  private func line(_ segment: Int, _ number: Int, _ record: String, _ members: [(String, String)]) -> String {
    let first = [
      ("stream", JSON.quote(name)), ("segment", "\(segment)"), ("number", "\(number)"), ("record", JSON.quote(record)),
    ]
    return "\(JSON.object(first + members))\n"
  }

  private func object(_ metadata: [String: String]) -> String {
    JSON.object(metadata.sorted { $0.key < $1.key }.map { ($0.key, JSON.quote($0.value)) })
  }
}

/// What a whole stream consists of.
struct StreamTotal {
  let name: String
  /// Of all its segments.
  var kind: StreamKind?
  var segments = 0
  var dataRecords = 0
  /// Of the data records' contents, unpacked.
  var bytes = 0

  var text: String {
    "\(printable(name)): complete: \(kind?.rawValue ?? "none"), \(counted(segments, "segment")), "
      + "\(counted(dataRecords, "data record")), \(bytes) bytes\n"
  }

  var json: String {
    JSON.object([
      ("stream", JSON.quote(name)), ("complete", "true"), ("kind", kind.map { JSON.quote($0.rawValue) } ?? "null"),
      ("segments", "\(segments)"), ("data_records", "\(dataRecords)"), ("bytes", "\(bytes)"),
    ]) + "\n"
  }
}
