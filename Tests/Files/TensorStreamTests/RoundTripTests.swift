import CZstd
import Foundation
import Glibc
import SystemIO
import TensorFiles
import TensorStream
import TestSupport
import Testing

@Suite struct RoundTripTests {
  private func bytes<Element>(_ values: [Element]) -> [UInt8] { values.withUnsafeBytes(Array.init) }

  @Test(arguments: StreamKind.allCases)
  func everyElementTypeAndKind(_ kind: StreamKind) throws {
    let floats: [Float] = [1.5, -0.0, .infinity, .leastNonzeroMagnitude, 3, 4]
    let stream = try streamBytes { writer in
      try writer.begin(kind, provenance: ["model": "demo", "kept \"as\" it is": "line\nline \u{e9}"])
      for batch in 0..<3 {
        var record = OutputRecord()
        record.add("f32", floats, shape: [2, 3])
        record.add("i32", [Int32.min, .max])
        record.add("f64", [Double.pi])
        record.add("i64", [Int64.min, 0, .max].suffix(batch))
        record.add("none", [Float](), shape: [0, 5])
        record.add("scalar", [Float(7)], shape: [])
        try writer.write(record, batch: batch + 10)
      }
      try writer.end()
    }
    let found = try contents(stream, kind: kind)
    #expect(found.parts.count == 1)
    #expect(found.parts[0].kind == kind)
    #expect(found.parts[0].provenance == ["model": "demo", "kept \"as\" it is": "line\nline \u{e9}"])
    #expect(found.parts[0].records.map(\.number) == [1, 2, 3])
    for (batch, record) in found.parts[0].records.enumerated() {
      #expect(record.metadata == ["record": "data", "batch": String(batch + 10)])
      let expected = [
        Contents.Tensor(name: "f32", type: "F32", shape: [2, 3], bytes: bytes(floats)),
        .init(name: "i32", type: "I32", shape: [2], bytes: bytes([Int32.min, .max])),
        .init(name: "f64", type: "F64", shape: [1], bytes: bytes([Double.pi])),
        .init(name: "i64", type: "I64", shape: [batch], bytes: bytes([Int64.min, 0, .max].suffix(batch))),
        .init(name: "none", type: "F32", shape: [0, 5], bytes: []),
        .init(name: "scalar", type: "F32", shape: [], bytes: bytes([Float(7)])),
      ]
      #expect(record.tensors.sorted { $0.name < $1.name } == expected.sorted { $0.name < $1.name })
    }
  }

  /// Wide types come first, so that every tensor is aligned to its type whatever their shapes are.
  @Test func tensorsAreAligned() throws {
    let stream = try streamBytes { writer in
      try writer.begin(.gradients, provenance: [:])
      var record = OutputRecord()
      record.add("odd", [Int32(1)])
      record.add("wide", [2.0])
      record.add("odd too", [Float(3)])
      record.add("wide too", [Int64(4)])
      try writer.write(record, batch: 0)
      try writer.end()
    }
    let reader = StreamReader(try ReusedFile().opened(with: stream))
    _ = try reader.nextSegment()
    let record = try #require(try reader.nextRecord())
    #expect(record.header.dataOffset % 64 == 0)
    #expect(record.header.tensors.map(\.name) == ["wide", "wide too", "odd", "odd too"])
    #expect(try Array(record.tensor("wide too", shape: [1], of: Int64.self)) == [4])
    #expect(try Array(record.tensor("odd too", shape: [nil], of: Float.self)) == [3])
  }

  @Test func tokenBatch() throws {
    var batch = TokenBatch(
      inputIDs: [5, 6, 7, 8, 9], cuSeqlens: [0, 2, 5], sampleIndex: [41, 42], document: [6, 7], validLengths: [1, 3])
    for (lengths, starts) in [([1, 3], nil), ([1, 2], [1, 0]), (nil, nil)] as [([Int32]?, [Int32]?)] {
      batch.validLengths = lengths
      batch.validStarts = starts
      var record = OutputRecord()
      batch.add(to: &record)
      #expect(try onlyRecord(.tokens, record) { try TokenBatch($0) } == batch)
    }
    #expect(batch.predictions == [1, 2])
    #expect(batch.rows(of: 1) == 2..<5)
    #expect(batch.validRows(of: 1) == 2..<5)
    let padded = TokenBatch(
      inputIDs: batch.inputIDs, cuSeqlens: batch.cuSeqlens, sampleIndex: [0, 1], validLengths: [1, 1],
      validStarts: [1, 0])
    let joined = TokenBatch(joining: [batch, padded])
    #expect((0..<4).map { joined.validRows(of: $0) } == [0..<2, 2..<5, 6..<7, 7..<8])
    #expect(joined.document == [6, 7, 0, 1])
  }

  @Test func gradientBatch() throws {
    var batch = GradientBatch(
      cuPositions: [0, 2, 2, 3], position: [0, 4, 0], token: [9, 151_935, 0], sampleIndex: [7, 3, .max - 1],
      document: [2, 0, .max - 1],
      predictions: [5, 0, 1], loss: [1.25, 0, 2.5])
    for loss in [[1.25, 0, 2.5], nil] {
      batch.loss = loss
      var record = OutputRecord()
      batch.add(to: &record)
      #expect(try onlyRecord(.gradients, record) { try GradientBatch($0) } == batch)
    }
  }

  /// A record larger than every buffer on the way, of numbers that do not compress.
  @Test func largeRecords() throws {
    var numbers = SeededNumbers(seed: 1)
    let values = numbers.floats(3_000_000)
    let stream = try streamBytes { writer in
      try writer.begin(.activations, provenance: [:])
      for batch in 0..<2 {
        var record = OutputRecord()
        record.add("x", Array(values[batch...]))
        try writer.write(record, batch: batch)
      }
      try writer.end()
    }
    let found = try contents(stream)
    #expect(found.parts[0].records.map { $0.tensors[0].bytes } == [bytes(values), bytes(Array(values[1...]))])
  }

  @Test(arguments: [-131_072, -5, 1, 3, 9, 19, 22])
  func everyCompressionLevel(_ level: Int32) throws {
    let values = (0..<50_000).map { Float($0 % 100) }
    let stream = try streamBytes(compressionLevel: level) { writer in
      try writer.begin(.activations, provenance: [:])
      var record = OutputRecord()
      record.add("x", values)
      try writer.write(record, batch: 0)
      try writer.end()
    }
    #expect(try contents(stream).parts[0].records[0].tensors[0].bytes == bytes(values))
  }

  @Test func theSameRecordsMakeTheSameBytes() throws {
    let make = {
      try tokenStream([[[1, 2, 3], [4]], [[5, 6]]], provenance: ["a": "1", "b": "2", "c": "3", "d": "4", "e": "5"])
    }
    #expect(try make() == make())
  }

  /// `cat a b` of two streams is a stream.
  @Test func concatenation() throws {
    let (a, b) = (try tokenStream([[[1, 2], [3]]]), try tokenStream([[[4]], [[5, 6]]], provenance: ["x": "y"]))
    let joined = try contents(a + b, kind: .tokens)
    let (first, second) = (try contents(a).parts[0], try contents(b).parts[0])
    #expect(joined.parts.map(\.provenance) == [[:], ["x": "y"]])
    #expect(joined.parts[0] == first)
    #expect(joined.parts[1].records.map(\.tensors) == second.records.map(\.tensors))
    // Records are counted over the whole stream.
    #expect(joined.parts[1].records.map(\.number) == [4, 5])
  }

  @Test func onlyTheBeginRecordStartsASegment() throws {
    let stream = try tokenStream([])
    #expect(try contents(stream) == contents(handmade([begin, emptyEnd])))
  }

  /// A pipe that gives one byte at a time, as the slowest of upstream programs would.
  @Test func oneByteAtATime() throws {
    let stream = try tokenStream([[[1, 2, 3], [4]], [[5, 6]]], provenance: ["a": "b"])
    var ends: [Int32] = [0, 0]
    // A packet pipe: every read returns what one write put in.
    try #require(pipe(&ends) == 0 && fcntl(ends[1], F_SETFL, packets) == 0)
    let writeEnd = ends[1]
    let writer = Thread {
      for byte in stream { _ = withUnsafeBytes(of: byte) { write(writeEnd, $0.baseAddress, 1) } }
      close(writeEnd)
    }
    let file = try InputFile(path: "/proc/self/fd/\(ends[0])")
    writer.start()
    let found = try Contents(file)
    close(ends[0])
    #expect(try found == contents(stream))
  }

  /// O_DIRECT, which Swift does not import.
  private var packets: Int32 {
    #if arch(arm64)
      0o200000
    #else
      0o40000
    #endif
  }

  private func onlyRecord<T>(_ kind: StreamKind, _ record: OutputRecord, _ body: (Record) throws -> T) throws -> T {
    let stream = try streamBytes { writer in
      try writer.begin(kind, provenance: [:])
      try writer.write(record, batch: 0)
      try writer.end()
    }
    let reader = StreamReader(try ReusedFile().opened(with: stream))
    _ = try reader.nextSegment(kind)
    return try body(try #require(try reader.nextRecord()))
  }
}

/// The smallest stream that the writer makes, byte for byte as docs/stream-format.md shows it.
@Suite struct GoldenStreamTests {
  @Test func smallestStream() throws {
    let page = try String(contentsOfFile: packageRoot + "/docs/stream-format.md", encoding: .utf8)
    // Lines such as "00000010  72 65 63 …  |rec|".
    let dump = page.split(separator: "\n").map { $0.drop { $0 == " " } }.filter { line in
      line.prefix(8).allSatisfy(\.isHexDigit) && line.dropFirst(8).hasPrefix("  ") && line.hasSuffix("|")
    }
    let golden = dump.flatMap { line in
      line.dropFirst(10).prefix { $0 != "|" }.split(separator: " ").map { UInt8($0, radix: 16)! }
    }
    // The fastest level stores what is so short, and the bytes do not depend on zstd's version.
    let written = try streamBytes(compressionLevel: ZSTD_minCLevel()) { writer in
      try writer.begin(.tokens, provenance: [:])
      try writer.end()
    }
    #expect(written == golden)
    #expect(try contents(golden).parts == [.init(kind: .tokens, provenance: [:], records: [])])
  }
}
