import SystemIO
import TensorStream
import TestSupport
import Testing

@Suite struct DamageTests {
  /// Two data records, one of them larger than the window and the blocks of its frame.
  private static func realisticStream(largeCount: Int) throws -> [UInt8] {
    var numbers = SeededNumbers(seed: 7)
    let large = numbers.floats(largeCount)
    return try streamBytes { writer in
      try writer.begin(
        .gradients,
        provenance: [
          "history.0": "wt-tokenize --tokenizer demo/model demo/sample.txt", "history.1": "act-grad --model demo/model",
          "places": "mlp_out.0-3", "model.config.xxh64": "0123456789abcdef",
        ])
      for (batch, values) in [[Float](repeating: 0.5, count: 6), large].enumerated() {
        var record = OutputRecord()
        GradientBatch(
          cuPositions: [0, 1, 2], position: [0, 1], token: [3, 4],
          sampleIndex: [Int64(2 * batch), Int64(2 * batch + 1)],
          predictions: [1, 1], loss: [5.5, 4.25]
        ).add(to: &record)
        record.add("grad.mlp_out.0", values, shape: [2, values.count / 2])
        try writer.write(record, batch: batch)
      }
      try writer.end()
    }
  }

  /// Where each frame begins, found by its magic number; and the end of the stream.
  private static func frameStarts(_ stream: [UInt8]) -> [Int] {
    stream.indices.filter { stream[$0...].starts(with: [0x28, 0xb5, 0x2f, 0xfd]) } + [stream.count]
  }

  private func refuses(_ file: ReusedFile, _ bytes: [UInt8]) throws -> Bool {
    try refuses(try file.opened(with: bytes))
  }

  /// Reads a stream as programs do, to its end.
  private func refuses(_ file: InputFile) throws -> Bool {
    do {
      let reader = StreamReader(file)
      while try reader.nextSegment() != nil { while try reader.nextRecord() != nil {} }
      return false
    } catch let failure as Failure { return failure.kind == .malformed }
  }

  /// The bits of `bytes` whose flip is read as if nothing had happened.
  private func unnoticedFlips(of stream: [UInt8], in bytes: some Sequence<Int>) throws -> [String] {
    let file = try ReusedFile()
    var unnoticed = try refuses(file, stream) ? ["the stream itself is refused"] : []
    for byte in bytes {
      for bit in 0..<8 {
        if try !refuses(file.opened(replacing: byte, with: stream[byte] ^ 1 << bit)) {
          unnoticed.append("byte \(byte) bit \(bit)")
        }
      }
      _ = try file.opened(replacing: byte, with: stream[byte])
    }
    return unnoticed
  }

  @Test func truncationAtEveryByte() throws {
    let stream = try Self.realisticStream(largeCount: 600)
    let file = try ReusedFile()
    #expect(try !refuses(file, stream))
    for count in 0..<stream.count { #expect(try refuses(file, Array(stream[..<count])), "\(count) bytes") }
  }

  /// What is cut off between segments is a stream; everywhere else it is none.
  @Test func truncationOfTwoSegments() throws {
    let (first, second) = (try tokenStream([[[1, 2]]]), try tokenStream([[[3]]], firstSample: 1))
    let file = try ReusedFile()
    for count in 0..<(first + second).count {
      #expect(try refuses(file, Array((first + second)[..<count])) == (count != first.count), "\(count) bytes")
    }
  }

  @Test func truncationSaysWhere() throws {
    let stream = try tokenStream([[[1, 2]], [[3]]])
    let starts = Self.frameStarts(stream)
    #expect(starts.count == 5)
    #expect(try refusal([]) == Failure(.malformed, "empty input: expected a tensor stream"))
    #expect(
      try refusal(Array(stream[..<starts[2]]))
        == Failure(.malformed, "record 2: truncated: expected a data or end record, found the end"))
    #expect(
      try refusal(Array(stream[..<(starts[2] + 3)]))
        == Failure(.malformed, "record 2: truncated: the stream ends inside a zstd frame header"))
    #expect(
      try refusal(Array(stream[..<(starts[3] - 1)]))
        == Failure(.malformed, "record 2: truncated: the stream ends inside a zstd frame"))
  }

  /// Every bit of the begin record, the small data record and the end record; of the large one a sample.
  @Test func everyFlippedBit() throws {
    let stream = try Self.realisticStream(largeCount: 150_000)
    let starts = Self.frameStarts(stream)
    try #require(starts.count == 5)
    try #require(starts[3] - starts[2] > 512 * 1024)
    let large = starts[2]..<starts[3]
    var numbers = SeededNumbers(seed: 3)
    let sampled =
      Array(large.prefix(40)) + Array(large.suffix(10)) + (0..<50).map { _ in large.randomElement(using: &numbers)! }
    let small = stream.indices.filter { !large.contains($0) }
    #expect(try unnoticedFlips(of: stream, in: small + sampled) == [], "frames begin at \(starts)")
  }

  /// The end frame is what the hash cannot cover.
  @Test(arguments: [0, 1, 11])
  func everyFlippedBitOfEndFrames(_ count: Int) throws {
    for seed in 0..<4 {
      let stream = try tokenStream((0..<count).map { [[Int32($0)]] }, provenance: ["seed": "\(seed)"])
      let end = Self.frameStarts(stream).dropLast().last!..<stream.count
      #expect(try unnoticedFlips(of: stream, in: end) == [])
    }
  }

  /// Records that are whole in themselves, but not those that were written.
  @Test func recordsMissingOrMoved() throws {
    let stream = try tokenStream([[[1, 2]], [[3, 4]], [[5, 6]]])
    let starts = Self.frameStarts(stream)
    let frames = zip(starts, starts.dropFirst()).map { Array(stream[$0..<$1]) }
    try #require(frames.count == 5)
    let dropped = [frames[0], frames[1], frames[3], frames[4]].flatMap { $0 }
    let swapped = [frames[0], frames[2], frames[1], frames[3], frames[4]].flatMap { $0 }
    let doubled = [frames[0], frames[1], frames[1], frames[2], frames[3], frames[4]].flatMap { $0 }
    #expect(
      try refusal(dropped)
        == Failure(.malformed, "record 3: end record disagrees: counted records=2, found records=3"))
    #expect(try refusal(swapped)?.description.contains("end record disagrees: counted xxh64=") == true)
    #expect(
      try refusal(doubled)
        == Failure(.malformed, "record 5: end record disagrees: counted records=4, found records=3"))
    // Another begin record: same length, another model.
    let a = try tokenStream([[[1]]], provenance: ["model": "a"])
    let b = try tokenStream([[[1]]], provenance: ["model": "b"])
    let spliced = a[..<Self.frameStarts(a)[1]] + b[Self.frameStarts(b)[1]...]
    #expect(try refusal(Array(spliced))?.description.contains("end record disagrees: counted xxh64=") == true)
  }
}
