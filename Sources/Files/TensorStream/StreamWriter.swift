import SystemIO
import TensorFiles

/// The tensors of a data record on its way out.
public struct OutputRecord {
  var tensors: [(name: String, type: ElementType, shape: [Int])] = []
  var contents: [UnsafeRawBufferPointer] = []
  /// Keeps the copies alive that some of `contents` point to.
  private var copies: [AlignedBuffer] = []

  public init() {}

  /// Adds a copy of `values`, as a vector where no shape is given.
  public mutating func add<Element: StreamElement>(_ name: String, _ values: [Element], shape: [Int]? = nil) {
    let copy = values.withUnsafeBytes { bytes in
      let buffer = AlignedBuffer(capacity: bytes.count)
      UnsafeMutableRawBufferPointer(start: buffer.address, count: bytes.count).copyMemory(from: bytes)
      return buffer
    }
    copies.append(copy)
    let pointer = UnsafePointer(copy.address.assumingMemoryBound(to: Element.self))
    add(name, borrowing: UnsafeBufferPointer(start: pointer, count: values.count), shape: shape ?? [values.count])
  }

  /// Adds `values` without a copy: they must stay as they are until the record is written.
  public mutating func add<Element: StreamElement>(
    _ name: String, borrowing values: UnsafeBufferPointer<Element>, shape: [Int]
  ) {
    precondition(shape.reduce(1, *) == values.count, "tensor \(name) has \(values.count) elements, not \(shape)")
    tensors.append((name, Element.elementType, shape))
    contents.append(UnsafeRawBufferPointer(values))
  }
}

/// Writes segments: `begin`, any number of `write`, `end`; at last `finish`.
///
/// A program that fails writes neither `end` nor `finish`, and whoever reads the stream sees that it is truncated.
/// Records are packed and written on threads of their own, in order: what fails there is thrown by a later call, at the
/// latest by `finish`. A writer that is dropped writes what it was given first.
public final class StreamWriter {
  /// For records that compress at all; the levels above cost time and win almost nothing.
  public static let defaultCompressionLevel: Int32 = 1
  /// At most four: a record of 4 MB has four jobs.
  public static let defaultPackers = min(availableCores(), 4)

  private let frames: FrameWriter
  private var dataRecords = 0
  private var dataBytes = 0
  private var isInsideSegment = false

  /// - Parameters:
  ///   - memory: bytes of records that may wait to be written, so that who computes goes on meanwhile.
  ///   - packers: threads that compress a large record that is worth it. The bytes are the same for any number.
  public init(
    _ file: OutputFile, compressionLevel: Int32 = StreamWriter.defaultCompressionLevel,
    memory: Int = MemoryLimit.ofTransit, packers: Int = StreamWriter.defaultPackers
  ) {
    frames = FrameWriter(file, compressionLevel: compressionLevel, memory: memory, packers: packers)
  }

  public func begin(_ kind: StreamKind, provenance: [String: String]) throws {
    precondition(!isInsideSegment, "the previous segment has no end")
    precondition(StreamFormat.beginKeys.isDisjoint(with: provenance.keys), "a provenance key is reserved")
    isInsideSegment = true
    dataRecords = 0
    dataBytes = 0
    frames.startHashing()
    let fixed = ["record": "begin", "format": StreamFormat.version, "kind": kind.rawValue]
    try write(fixed.merging(provenance) { fixed, _ in fixed }, OutputRecord())
  }

  /// - Parameter batch: the batch's number, counted from 0; nil for a record that belongs to no batch.
  public func write(_ record: OutputRecord, batch: Int?) throws {
    precondition(isInsideSegment, "no segment is open")
    var metadata = ["record": "data"]
    if let batch { metadata["batch"] = String(batch) }
    dataBytes += try write(metadata, record)
    dataRecords += 1
  }

  /// - Throws: also where a file that is mapped has changed: no end record vouches for what was made of it.
  public func end() throws {
    precondition(isInsideSegment, "no segment is open")
    try MappedFile.checkUnchanged()
    isInsideSegment = false
    let totals = [
      "record": "end", "records": String(dataRecords), "bytes": String(dataBytes), "xxh64": try frames.hash(),
    ]
    // The hash covers every frame but this one.
    try write(totals, OutputRecord(), stored: true)
    // What could not be written of the segment comes up here, before anything is made of its end.
    try frames.flush()
  }

  /// Closes the file and, where it has a name, gives it that name.
  public func finish() throws {
    precondition(!isInsideSegment, "the last segment has no end")
    try frames.finish()
  }

  /// Returns the size of the record's contents in bytes.
  @discardableResult
  private func write(_ metadata: [String: String], _ record: OutputRecord, stored: Bool = false) throws -> Int {
    // Wide types first, as safetensors' own writers have it: each tensor is then aligned to its type.
    let order = record.tensors.indices.sorted {
      (-record.tensors[$0].type.size, $0) < (-record.tensors[$1].type.size, $1)
    }
    let header = SafetensorsHeader(metadata: metadata, layingOut: order.map { record.tensors[$0] }).encoded()
    guard header.count - 8 <= StreamFormat.maximumHeader else {
      throw Failure(
        .malformed, "a record's header: expected at most \(StreamFormat.maximumHeader) bytes, found \(header.count - 8)"
      )
    }
    try withExtendedLifetime(record) {
      try header.withUnsafeBytes { header in
        try frames.write([header] + order.map { record.contents[$0] }, stored: stored)
      }
    }
    return header.count + record.contents.reduce(0) { $0 + $1.count }
  }
}
