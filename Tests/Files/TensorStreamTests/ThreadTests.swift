import Foundation
import Glibc
import SystemIO
import TensorStream
import TestSupport
import Testing

/// Streams that are packed, written, read and unpacked on threads: the same records in the same order, whatever the
/// threads' timing is.
@Suite struct ThreadTests {
  /// Records of 0 to 8 MB, of numbers that compress and of those that do not.
  private static func records(seed: UInt64) -> [[Float]] {
    var numbers = SeededNumbers(seed: seed)
    let counts = (0..<60).map { index in
      [index, Int.random(in: 0..<2_000, using: &numbers), Int.random(in: 0..<200_000, using: &numbers)][index % 3]
    }
    return (counts + [2_000_000, 1_300_000]).enumerated().map { index, count in
      index % 2 == 0 ? (0..<count).map { Float($0 % 100) } : numbers.floats(count)
    }
  }

  private func write(_ records: [[Float]], _ writer: StreamWriter, pause: () -> Void = {}) throws {
    // The same memory for every record, as the passes have it.
    let memory = UnsafeMutableBufferPointer<Float>.allocate(capacity: records.map(\.count).max()!)
    defer { memory.deallocate() }
    for part in 0..<2 {
      try writer.begin(.activations, provenance: ["part": "\(part)"])
      for (batch, values) in records.enumerated() {
        memory.update(repeating: .nan)
        _ = memory.update(from: values)
        var record = OutputRecord()
        record.add("x", borrowing: UnsafeBufferPointer(rebasing: memory[..<values.count]), shape: [values.count])
        try writer.write(record, batch: batch)
        pause()
      }
      try writer.end()
    }
    try writer.finish()
  }

  private func read(_ reader: StreamReader, pause: () -> Void = {}) throws -> [[Float]] {
    var found: [[Float]] = []
    while try reader.nextSegment() != nil {
      while let record = try reader.nextRecord() {
        #expect(try record.batch == found.count % 62)
        pause()
        found.append(Array(try record.tensor("x", shape: [nil], of: Float.self)))
      }
    }
    return found
  }

  private func pause(_ seed: UInt64) -> () -> Void {
    var numbers = SeededNumbers(seed: seed)
    return { usleep(UInt32.random(in: 0..<10, using: &numbers) < 7 ? 0 : .random(in: 0..<3_000, using: &numbers)) }
  }

  @Test(arguments: 0..<4)
  func orderUnderAnyTiming(_ seed: Int) throws {
    let records = Self.records(seed: UInt64(seed))
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    let (input, output) = (ends[0], ends[1])
    let (writes, reads) = (pause(UInt64(10 + seed)), pause(UInt64(20 + seed)))
    let source = try InputFile(path: "/proc/self/fd/\(input)")
    let folder = try TemporaryFolder()
    // What is written goes through a file of its own, since only standard output is a stream without a name.
    let (path, memory) = (folder.file("stream"), seed % 2 == 0 ? 1 << 20 : MemoryLimit.ofTransit)
    try write(records, StreamWriter(try OutputFile(path: path), memory: memory, packers: 1 + seed), pause: writes)
    let copying = Thread {
      let bytes = try! InputFile(path: path).readAll(limit: 1 << 30)
      var (start, numbers) = (0, SeededNumbers(seed: 1))
      while start < bytes.count {
        let count = min(Int.random(in: 1..<300_000, using: &numbers), bytes.count - start)
        start += bytes[start..<start + count].withUnsafeBytes { Glibc.write(output, $0.baseAddress, $0.count) }
      }
      close(output)
    }
    copying.start()
    let reader = StreamReader(source, memoryAhead: seed < 2 ? 1 << 20 : MemoryLimit.ofTransit)
    let found = try read(reader, pause: reads)
    close(input)
    #expect(found == records + records)
  }

  @Test func bytesDoNotDependOnThreads() throws {
    let records = Self.records(seed: 5)
    let folder = try TemporaryFolder()
    func bytes(memory: Int, packers: Int) throws -> [UInt8] {
      let path = folder.file("stream")
      try write(records, StreamWriter(try OutputFile(path: path), memory: memory, packers: packers))
      return try InputFile(path: path).readAll(limit: 1 << 30)
    }
    let expected = try bytes(memory: 1 << 28, packers: 1)
    for packers in [2, 3, 8] { #expect(try bytes(memory: packers << 17, packers: packers) == expected, "\(packers)") }
    // What hardly compresses is stored, and the rest is not.
    let size = 8 * records.reduce(0) { $0 + $1.count }
    #expect(expected.count < size * 2 / 3)
    let found = try read(StreamReader(ReusedFile().opened(with: expected), isThreaded: false))
    #expect(found == records + records)
  }

  /// The last position of a sample has no gradient: a row of zeros where a sample, and with the last one a place, ends.
  @Test(arguments: [(24, 4), (24, 1), (12, 8), (30, 2), (16, 3)])
  func gradientsAreStored(places: Int, samples: Int) throws {
    var numbers = SeededNumbers(seed: 17)
    let (tokens, width) = (48, 160)
    var record = OutputRecord()
    let gradients = (0..<places).map { _ in
      (0..<samples).flatMap { _ in numbers.floats((tokens - 1) * width) + [Float](repeating: 0, count: width) }
    }
    for (layer, values) in gradients.enumerated() { record.add("grad.mlp_out.\(layer)", values) }
    let stream = try streamBytes { writer in
      try writer.begin(.gradients, provenance: [:])
      try writer.write(record, batch: 0)
      try writer.end()
    }
    #expect(stream.count > places * samples * tokens * width * MemoryLayout<Float>.stride)
  }

  /// What is wrong with a record comes up behind all records before it, however far ahead it was found.
  @Test(arguments: [true, false])
  func errorsInOrder(_ isThreaded: Bool) throws {
    var numbers = SeededNumbers(seed: 9)
    let values = (0..<5).map { _ in numbers.floats(150_000) }
    let stream = try streamBytes { writer in
      try writer.begin(.activations, provenance: [:])
      for (batch, values) in values.enumerated() {
        var record = OutputRecord()
        record.add("x", values)
        try writer.write(record, batch: batch)
      }
      try writer.end()
    }
    let starts = stream.indices.filter { stream[$0...].starts(with: [0x28, 0xb5, 0x2f, 0xfd]) }
    try #require(starts.count == 7)
    var damaged = stream
    damaged[starts[3] + 400_000] ^= 1
    let blockHeader = starts[3] + 10
    var unknownBlock = stream
    unknownBlock[blockHeader] |= 6
    for (bytes, words) in [
      (damaged, "damaged zstd frame: Restored data doesn't match checksum"),
      (unknownBlock, "damaged zstd frame: "),
      (Array(stream[..<(starts[3] + 300_000)]), "truncated: the stream ends inside a zstd frame"),
      (Array(stream[..<starts[3]]), "truncated: expected a data or end record, found the end"),
      (stream[..<starts[3]] + Array("no stream".utf8), "not a tensor stream: expected a zstd frame"),
    ] {
      let file = try ReusedFile().opened(with: bytes)
      let reader = StreamReader(file, isThreaded: isThreaded)
      _ = try reader.nextSegment()
      for expected in values[..<2] {
        let record = try #require(try reader.nextRecord())
        // Time enough to find what comes later.
        usleep(20_000)
        #expect(try Array(record.tensor("x", shape: [nil], of: Float.self)) == expected)
      }
      do {
        _ = try reader.nextRecord()
        Issue.record("read: \(words)")
      } catch let failure as Failure {
        #expect(failure.kind == .malformed)
        #expect(failure.description.hasPrefix("\(file.name): record 3: \(words)"), "\(failure)")
      }
    }
  }

  /// Blocks of all types in one frame, of which zstd has to see those before.
  @Test func storedBlocksBeforeOthers() throws {
    let cut = begin.count / 2
    var numbers = SeededNumbers(seed: 2)
    let noise = (0..<300_000).map { _ in UInt8.random(in: 0...255, using: &numbers) }
    let header = safetensors(["record": "data"], [("x", .i32, [150_000])])
    let data = noise + [UInt8](repeating: 7, count: 300_000)
    let buffer = header[..<(header.count - 600_000)] + data
    let head = Array(buffer.prefix(buffer.count - 300_000))
    let stored = stride(from: 0, to: head.count, by: 100_000).map {
      HandmadeFrame.Block.stored(Array(head[$0...].prefix(100_000)))
    }
    let sevens = [UInt8](repeating: 7, count: 100_000)
    var frame = HandmadeFrame(stored + [.repeated(7, 100_000), .repeated(7, 100_000), .stored(sevens)])
    frame.windowDescriptor = 7 << 3
    let first = HandmadeFrame([.stored(Array(begin[..<cut])), .stored(Array(begin[cut...]))])
    let end = safetensors(["record": "end", "records": "1", "bytes": "\(buffer.count)"])
    let found = try contents(first.bytes + frame.bytes + HandmadeFrame(end).bytes)
    #expect(found.parts[0].records[0].tensors[0].bytes == data)
    // The same with one bit of the content changed, which the checksum of both ways has to see.
    var damaged = frame.bytes
    damaged[60_000] ^= 0x10
    #expect(
      try refusal(first.bytes + damaged)?.description
        == "record 1: damaged zstd frame: Restored data doesn't match checksum")
  }

  /// A writer that is dropped, as by a program that fails, has written what it was given.
  @Test func droppedWriterWritesWhatItWasGiven() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("stream")
    // A writer to a name removes what is not finished; its bytes are seen by a second descriptor.
    var descriptor: Int32 = -1
    do {
      let writer = StreamWriter(try OutputFile(path: path))
      let name = try #require(try FileManager.default.contentsOfDirectory(atPath: folder.path).first)
      descriptor = open(folder.file(name), O_RDONLY | O_CLOEXEC)
      try writer.begin(.activations, provenance: [:])
      for batch in 0..<3 {
        var record = OutputRecord()
        record.add("x", (0..<200_000).map { Float($0) })
        try writer.write(record, batch: batch)
      }
    }
    let reader = StreamReader(try InputFile(path: "/proc/self/fd/\(descriptor)"))
    close(descriptor)
    _ = try reader.nextSegment()
    for _ in 0..<3 { #expect(try reader.nextRecord() != nil) }
    #expect(throws: Failure.self) { try reader.nextRecord() }
  }

  /// A reader that is dropped in the middle leaves the file to the next one.
  @Test func fileIsReadAgain() throws {
    let records = Self.records(seed: 6)
    let folder = try TemporaryFolder()
    try write(records, StreamWriter(try OutputFile(path: folder.file("stream"))))
    let file = try InputFile(path: folder.file("stream"))
    for count in 1..<20 {
      do {
        let reader = StreamReader(file, memoryAhead: 1 << 20)
        _ = try reader.nextSegment()
        for _ in 0..<count { _ = try reader.nextRecord() }
      }
      try file.rewind()
    }
    #expect(try read(StreamReader(file)) == records + records)
  }
}
