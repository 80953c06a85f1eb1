import SystemIO
import TensorFiles

/// What a begin record says of the segment that follows.
public struct Segment: Sendable {
  public let kind: StreamKind
  /// All metadata of the begin record, without `record`, `format` and `kind`.
  public let provenance: [String: String]

  public init(kind: StreamKind, provenance: [String: String]) {
    (self.kind, self.provenance) = (kind, provenance)
  }
}

/// Reads the segments of a stream and their data records.
///
///     while let segment = try reader.nextSegment() {
///       while let record = try reader.nextRecord() { … }
///     }
///
/// `nextRecord` returns nil only after an end record that agrees with what was read, `nextSegment` only at the end of
/// the file after one, so a loop that ends has seen everything that was written. Records are read, unpacked and checked
/// ahead on threads of their own; what is wrong with one comes up when it is its turn.
public final class StreamReader {
  public let name: String
  private let frames: FramesAhead
  /// The number of the next record.
  public private(set) var recordNumber = 0
  /// Of the stream's segments so far, which are all of one kind.
  private var kind: StreamKind?
  private var isInsideSegment = false
  private var dataRecords = 0
  private var dataBytes = 0

  /// - Parameters:
  ///   - memoryAhead: bytes of records that are read before they are asked for, beside the one that came last.
  ///   - isThreaded: false reads a record when it is asked for, and takes no threads.
  public init(_ file: InputFile, memoryAhead: Int = MemoryLimit.ofTransit, isThreaded: Bool = true) {
    name = file.name
    frames = FramesAhead(file, memoryAhead: memoryAhead, isThreaded: isThreaded)
  }

  /// The next segment, which must be of `kind` where one is given; nil at the end of the stream.
  public func nextSegment(_ kind: StreamKind? = nil) throws -> Segment? {
    precondition(!isInsideSegment, "the previous segment has records left")
    guard let record = try readRecord() else {
      guard self.kind != nil else { throw Failure(.malformed, "empty input: expected a tensor stream").at(name) }
      return nil
    }
    return try located(record) {
      guard record.metadata["record"] == "begin" else {
        throw Failure(.malformed, "expected a begin record, found record=\(record.metadata["record"] ?? "(none)")")
      }
      let format = record.metadata["format"]
      guard format == StreamFormat.version else {
        let remedy =
          format == StreamFormat.formerVersion
          ? ", of earlier programs: make the stream again with this version's programs" : ""
        throw Failure(.malformed, "expected format \(StreamFormat.version), found \(format ?? "(none)")\(remedy)")
      }
      guard record.header.tensors.isEmpty else {
        throw Failure(.malformed, "expected a begin record without tensors, found \(record.header.tensors.count)")
      }
      let found = record.metadata["kind"] ?? "(none)"
      let wanted = kind ?? self.kind
      guard let foundKind = StreamKind(rawValue: found), wanted == nil || foundKind == wanted else {
        let expected = wanted.map(\.rawValue) ?? StreamKind.allCases.map(\.rawValue).joined(separator: " or ")
        throw Failure(.malformed, "expected a stream of \(expected), found \(found)")
      }
      self.kind = foundKind
      isInsideSegment = true
      dataRecords = 0
      dataBytes = 0
      frames.judge(endsSegment: false)
      return Segment(
        kind: foundKind, provenance: record.metadata.filter { !StreamFormat.beginKeys.contains($0.key) })
    }
  }

  /// The next data record of the segment; nil after its end record.
  public func nextRecord() throws -> Record? {
    precondition(isInsideSegment, "no segment is open")
    guard let record = try readRecord() else {
      throw Failure(.malformed, "record \(recordNumber): truncated: expected a data or end record, found the end").at(
        name)
    }
    return try located(record) {
      switch record.metadata["record"] {
      case "data":
        dataRecords += 1
        dataBytes += record.bytes.count
        frames.judge(endsSegment: false)
        return record
      case "end":
        guard record.header.tensors.isEmpty else {
          throw Failure(.malformed, "expected an end record without tensors, found \(record.header.tensors.count)")
        }
        try check(record, "records", String(dataRecords))
        try check(record, "bytes", String(dataBytes))
        if record.metadata["xxh64"] != nil { try check(record, "xxh64", frames.hashBefore().hexadecimal) }
        frames.judge(endsSegment: true)
        isInsideSegment = false
        return nil
      default:
        throw Failure(
          .malformed, "expected a data or end record, found record=\(record.metadata["record"] ?? "(none)")")
      }
    }
  }

  private func check(_ record: Record, _ key: String, _ expected: String) throws {
    let found = record.metadata[key] ?? "(none)"
    guard found == expected else {
      throw Failure(.malformed, "end record disagrees: counted \(key)=\(expected), found \(key)=\(found)")
    }
  }

  private func readRecord() throws -> Record? {
    let number = recordNumber
    do {
      guard let bytes = try frames.next() else { return nil }
      recordNumber += 1
      return try Record(number: number, parsing: bytes)
    } catch let failure as Failure where failure.kind == .malformed {
      throw failure.at("\(name): record \(number)")
    }
  }

  private func located<T>(_ record: Record, _ body: () throws -> T) throws -> T {
    do { return try body() } catch let failure as Failure { throw failure.at("\(name): record \(record.number)") }
  }
}
