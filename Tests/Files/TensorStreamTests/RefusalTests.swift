import SystemIO
import TensorFiles
import TensorStream
import TestSupport
import Testing

/// One test for each line of the list of refusals in docs/stream-format.md.
@Suite struct FrameRefusalTests {
  private func refuses(_ frame: HandmadeFrame, _ message: String) throws {
    #expect(try refusal(frame.bytes) == Failure(.malformed, "record 0: \(message)"))
    // What is refused does not depend on how much of the frame has arrived.
    let whole = frame.bytes + HandmadeFrame(emptyEnd).bytes
    #expect(try refusal(whole) == Failure(.malformed, "record 0: \(message)"))
  }

  /// The frames by hand are right where nothing is changed.
  @Test func handmadeFramesAreRead() throws {
    #expect(try refusal(handmade([begin, emptyEnd])) == nil)
    var windowed = HandmadeFrame(begin)
    windowed.windowDescriptor = 13 << 3
    #expect(try refusal(windowed.bytes + HandmadeFrame(emptyEnd).bytes) == nil)
  }

  @Test func notZstd() throws {
    func message(_ number: Int, _ found: String) -> Failure {
      Failure(.malformed, "record \(number): not a tensor stream: expected a zstd frame, found \(found)")
    }
    #expect(try refusal(Array("some text\n".utf8)) == message(0, "text that begins with 'some text'"))
    #expect(try refusal(Array("\n\nsome".utf8)) == message(0, "text"))
    #expect(try refusal(handmade([begin, emptyEnd]) + Array("text".utf8) + [0]) == message(2, "the bytes 74657874"))
    #expect(try refusal([0x93] + Array("NUMPY".utf8)) == message(0, "the bytes 934e554d"))
    let pointer = "version https://git-lfs.github.com/spec/v1\n"
    #expect(
      try refusal(Array(pointer.utf8))
        == message(0, "a Git LFS pointer: the file itself is yet to be fetched, with git lfs pull"))
  }

  @Test func skippableFrame() throws {
    let skippable: [UInt8] = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]
    #expect(
      try refusal(skippable + handmade([begin, emptyEnd]))
        == Failure(.malformed, "record 0: not a tensor stream: expected a zstd frame, found the bytes 502a4d18"))
  }

  @Test func noChecksum() throws {
    var frame = HandmadeFrame(begin)
    frame.hasChecksum = false
    try refuses(frame, "zstd frame header: expected a content checksum, found none")
  }

  @Test func noContentSize() throws {
    var frame = HandmadeFrame(begin)
    frame.contentSize = nil
    frame.windowDescriptor = 0
    try refuses(frame, "zstd frame header: expected a content size, found none")
  }

  @Test func dictionary() throws {
    var frame = HandmadeFrame(begin)
    frame.dictionary = 5
    try refuses(frame, "zstd frame header: expected no dictionary and no reserved bits, found e5")
  }

  @Test func reservedBits() throws {
    var frame = HandmadeFrame(begin)
    frame.reservedBits = 0x08
    try refuses(frame, "zstd frame header: expected no dictionary and no reserved bits, found ec")
    frame.reservedBits = 0x10
    try refuses(frame, "zstd frame header: expected no dictionary and no reserved bits, found f4")
  }

  @Test func windowTooLarge() throws {
    var frame = HandmadeFrame(begin)
    frame.windowDescriptor = 13 << 3
    #expect(try refusal(frame.bytes + HandmadeFrame(emptyEnd).bytes) == nil)
    frame.windowDescriptor = 13 << 3 | 1
    try refuses(frame, "zstd frame window too large: expected at most 8388608 bytes, found 9437184")
    frame.windowDescriptor = 0xff
    try refuses(frame, "zstd frame window too large: expected at most 8388608 bytes, found 4123168604160")
    // Without a window of its own the content is the window.
    let large = HandmadeFrame([.stored(begin)] + Array(repeating: .repeated(0, 131_072), count: 64))
    try refuses(large, "zstd frame window too large: expected at most 8388608 bytes, found \(8_388_608 + begin.count)")
  }

  @Test func contentTooLarge() throws {
    var frame = HandmadeFrame(begin)
    frame.windowDescriptor = 0
    frame.contentSize = 17_179_869_185
    try refuses(frame, "zstd frame too large: expected at most 17179869184 bytes, found 17179869185")
    frame.contentSize = .max - 2
    try refuses(frame, "zstd frame too large: expected at most 17179869184 bytes, found 18446744073709551613")
  }

  @Test func contentSizeThatIsNotTrue() throws {
    for wrong in [0, 1, begin.count - 1, begin.count + 1, 5_000_000, 16 << 30] {
      for window: UInt8? in [13 << 3, nil] {
        var frame = HandmadeFrame(begin)
        frame.contentSize = UInt64(wrong)
        frame.windowDescriptor = window
        let found = try refusal(frame.bytes + HandmadeFrame(emptyEnd).bytes)
        #expect(found?.kind == .malformed, "\(wrong) instead of \(begin.count): \(String(describing: found))")
      }
    }
  }

  @Test func damagedChecksum() throws {
    var bytes = HandmadeFrame(begin).bytes
    bytes[bytes.count - 1] ^= 1
    #expect(
      try refusal(bytes)
        == Failure(.malformed, "record 0: damaged zstd frame: Restored data doesn't match checksum"))
  }

  @Test func reservedBlockType() throws {
    var bytes = HandmadeFrame(begin).bytes
    bytes[13] |= 0x06
    #expect(try refusal(bytes)?.description.hasPrefix("record 0: damaged zstd frame: ") == true)
  }
}

@Suite struct RecordRefusalTests {
  private func refuses(_ records: [[UInt8]], _ message: String, kind: StreamKind? = nil) throws {
    #expect(try refusal(handmade(records), kind: kind) == Failure(.malformed, message))
  }

  private let data = safetensors(["record": "data", "batch": "0"], [("x", .f32, [4])])
  private var end: [UInt8] {
    safetensors(["record": "end", "records": "1", "bytes": String(data.count)])
  }

  @Test func handmadeRecordsAreRead() throws {
    #expect(try refusal(handmade([begin, data, end])) == nil)
    #expect(try refusal(handmade([begin, data, end, begin, emptyEnd])) == nil)
  }

  @Test func notSafetensors() throws {
    try refuses([[1, 2]], "record 0: safetensors header too small: expected at least 8 bytes, found 2")
    try refuses(
      [begin, Array(data.dropLast())], "record 1: safetensors data: expected 16 bytes, found 15")
  }

  @Test func headerTooLarge() throws {
    let header = { (count: Int) in safetensors(header: "{}" + String(repeating: " ", count: count - 2)) }
    try refuses(
      [header(1_048_577)], "record 0: safetensors header too large: expected at most 1048576 bytes, found 1048577")
    try refuses([header(1_048_576)], "record 0: expected a begin record, found record=(none)")
  }

  @Test func writerRefusesWhatReadersWould() throws {
    #expect(throws: Failure(.malformed, "a record's header: expected at most 1048576 bytes, found 1048696")) {
      try streamBytes {
        try $0.begin(.tokens, provenance: ["x": String(repeating: "y", count: 1 << 20)])
      }
    }
  }

  @Test func noBegin() throws {
    try refuses([data], "record 0: expected a begin record, found record=data")
    try refuses([emptyEnd], "record 0: expected a begin record, found record=end")
    try refuses([safetensors([:], [("x", .f32, [1])])], "record 0: expected a begin record, found record=(none)")
    try refuses([begin, data, end, data], "record 3: expected a begin record, found record=data")
  }

  @Test func anotherFormat() throws {
    let format = { (format: String?) in
      safetensors(["record": "begin", "kind": "tokens"].merging(format.map { ["format": $0] } ?? [:]) { a, _ in a })
    }
    try refuses(
      [format("tensor-stream/1")],
      "record 0: expected format tensor-stream/2, found tensor-stream/1, of earlier programs: make the stream again with "
        + "this version's programs")
    try refuses([format("tensor-stream/3")], "record 0: expected format tensor-stream/2, found tensor-stream/3")
    try refuses([format(nil)], "record 0: expected format tensor-stream/2, found (none)")
  }

  @Test func anotherKind() throws {
    let kind = { (kind: String?) in
      safetensors(
        ["record": "begin", "format": "tensor-stream/2"].merging(kind.map { ["kind": $0] } ?? [:]) { a, _ in a })
    }
    let all = "tokens or activations or gradients or aggregates"
    try refuses([kind("pictures")], "record 0: expected a stream of \(all), found pictures")
    try refuses([kind(nil)], "record 0: expected a stream of \(all), found (none)")
    try refuses([kind("tokens")], "record 0: expected a stream of gradients, found tokens", kind: .gradients)
    try refuses(
      [kind("tokens"), emptyEnd, kind("gradients"), emptyEnd],
      "record 2: expected a stream of tokens, found gradients")
  }

  @Test func tensorsWhereNoneBelong() throws {
    let withTensor = { (metadata: [String: String]) in safetensors(metadata, [("x", .f32, [1])]) }
    try refuses(
      [withTensor(["record": "begin", "format": "tensor-stream/2", "kind": "tokens"])],
      "record 0: expected a begin record without tensors, found 1")
    try refuses(
      [begin, withTensor(["record": "end", "records": "0", "bytes": "0"])],
      "record 1: expected an end record without tensors, found 1")
  }

  @Test func wrongOrder() throws {
    try refuses([begin, begin], "record 1: expected a data or end record, found record=begin")
    try refuses(
      [begin, safetensors(["record": "other"])], "record 1: expected a data or end record, found record=other")
    try refuses([begin, safetensors([:])], "record 1: expected a data or end record, found record=(none)")
  }

  @Test func noEnd() throws {
    try refuses([begin], "record 1: truncated: expected a data or end record, found the end")
    try refuses([begin, data], "record 2: truncated: expected a data or end record, found the end")
    try refuses([begin, data, end, begin], "record 4: truncated: expected a data or end record, found the end")
  }

  @Test func wrongCounts() throws {
    let end = { (records: String?, bytes: String?) in
      var metadata = ["record": "end"]
      metadata["records"] = records
      metadata["bytes"] = bytes
      return safetensors(metadata)
    }
    let size = String(data.count)
    #expect(try refusal(handmade([begin, data, end("1", size)])) == nil)
    let disagrees = "record 2: end record disagrees: counted"
    try refuses([begin, data, end("2", size)], "\(disagrees) records=1, found records=2")
    try refuses([begin, data, end("01", size)], "\(disagrees) records=1, found records=01")
    try refuses([begin, data, end(nil, size)], "\(disagrees) records=1, found records=(none)")
    try refuses([begin, data, end("1", "16")], "\(disagrees) bytes=\(size), found bytes=16")
    try refuses([begin, data, end("1", nil)], "\(disagrees) bytes=\(size), found bytes=(none)")
  }

  @Test func wrongHash() throws {
    let end = { (hash: String) in
      safetensors(["record": "end", "records": "0", "bytes": "0", "xxh64": hash])
    }
    let hash = HandmadeFrame(begin).bytes.withUnsafeBytes { ContentHash.of($0) }
    #expect(try refusal(handmade([begin, end(hash)])) == nil)
    try refuses(
      [begin, end("0123456789abcdef")],
      "record 1: end record disagrees: counted xxh64=\(hash), found xxh64=0123456789abcdef")
  }
}

/// What readers of a record's tensors refuse.
@Suite struct TensorRefusalTests {
  /// Gives the only data record of a stream to `body`.
  private func refuses(_ record: [UInt8], _ message: String, _ body: (Record) throws -> Void) throws {
    let reader = StreamReader(try ReusedFile().opened(with: handmade([begin, record])))
    _ = try reader.nextSegment()
    let record = try #require(try reader.nextRecord())
    #expect(throws: Failure(.malformed, "record 1: \(message)")) { try body(record) }
  }

  private let metadata = ["record": "data", "batch": "0"]

  @Test func missing() throws {
    try refuses(safetensors(metadata), "tensor x is missing") { _ = try $0.tensor("x", shape: [1], of: Float.self) }
  }

  @Test func wrongTypeOrShape() throws {
    let record = safetensors(metadata, [("x", .f32, [2, 3])])
    try refuses(record, "tensor x: expected F64 [2, 3], found F32 [2, 3]") {
      _ = try $0.tensor("x", shape: [2, 3], of: Double.self)
    }
    try refuses(record, "tensor x: expected F32 [2, 4], found F32 [2, 3]") {
      _ = try $0.tensor("x", shape: [2, 4], of: Float.self)
    }
    try refuses(record, "tensor x: expected F32 [any], found F32 [2, 3]") {
      _ = try $0.tensor("x", shape: [nil], of: Float.self)
    }
  }

  @Test func misaligned() throws {
    let info = #""x":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}"#
    let header = #"{"__metadata__":{"record":"data","batch":"0"},\#(info)}"#
    let even = header + String(repeating: " ", count: 8 - header.utf8.count % 8)
    for (padding, isAligned) in [("", true), ("  ", false), ("    ", false)] {
      let record = safetensors(header: even + padding, data: [UInt8](repeating: 0, count: 8))
      if isAligned {
        #expect(try refusal(handmade([begin, record]))?.description.hasPrefix("record 2: truncated") == true)
      } else {
        try refuses(record, "tensor x: expected data aligned to 8 bytes") {
          _ = try $0.tensor("x", shape: [1], of: Double.self)
        }
      }
    }
  }

  @Test(arguments: [nil, "", "-1", "one", "99999999999999999999"])
  func batchNumber(_ batch: String?) throws {
    var metadata = ["record": "data"]
    metadata["batch"] = batch
    try refuses(safetensors(metadata), "expected a number batch, found \(batch ?? "none")") { _ = try $0.batch }
  }

  /// A tokens record with tensors of the caller's.
  private func tokens(
    ids: [Int32] = [1, 2, 3], ends: [Int32] = [0, 2, 3], samples: [Int64] = [0, 1], documents: [Int64]? = nil,
    lengths: [Int32]? = nil, starts: [Int32]? = nil
  ) throws -> [UInt8] {
    var record = OutputRecord()
    TokenBatch(
      inputIDs: ids, cuSeqlens: ends, sampleIndex: samples, document: documents, validLengths: lengths,
      validStarts: starts
    ).add(to: &record)
    return try onlyDataRecord(record)
  }

  private func gradients(
    ends: [Int32] = [0, 2, 3], position: [Int32] = [0, 1, 0], token: [Int32] = [7, 8, 9],
    samples: [Int64] = [0, 1], documents: [Int64]? = nil, predictions: [Int32] = [1, 0], loss: [Double]? = nil
  ) throws -> [UInt8] {
    var record = OutputRecord()
    GradientBatch(
      cuPositions: ends, position: position, token: token, sampleIndex: samples, document: documents,
      predictions: predictions, loss: loss
    ).add(to: &record)
    return try onlyDataRecord(record)
  }

  /// The safetensors buffer that a writer makes of `record`.
  private func onlyDataRecord(_ record: OutputRecord) throws -> [UInt8] {
    let stream = try streamBytes { writer in
      try writer.begin(.tokens, provenance: [:])
      try writer.write(record, batch: 0)
      try writer.end()
    }
    let reader = StreamReader(try ReusedFile().opened(with: stream))
    _ = try reader.nextSegment()
    return Array(try #require(try reader.nextRecord()).bytes)
  }

  @Test func tokenTensors() throws {
    let check = { (record: [UInt8], message: String) in try refuses(record, message) { _ = try TokenBatch($0) } }
    try check(tokens(ends: [0, 3]), "tensor cu_seqlens: expected I32 [3], found I32 [2]")
    try check(tokens(ends: [1, 2, 3]), "cu_seqlens: expected numbers that rise from 0 to 3, found 1 to 3")
    try check(tokens(ends: [0, 2, 4]), "cu_seqlens: expected numbers that rise from 0 to 3, found 0 to 4")
    try check(tokens(ends: [0, 4, 3]), "cu_seqlens: expected numbers that rise from 0 to 3, found 0 to 3")
    try check(tokens(ends: [0, -1, 3]), "cu_seqlens: expected numbers that rise from 0 to 3, found 0 to 3")
    try check(
      tokens(ends: [0, 3, 3]), "cu_seqlens: expected at least one token in sample 1 of the batch, found none")
    try check(
      tokens(samples: [-1, 0]), "sample_index: expected a number from 0 to 9223372036854775806, found -1")
    try check(
      tokens(samples: [0, .max]),
      "sample_index: expected a number from 0 to 9223372036854775806, found 9223372036854775807")
    try check(tokens(documents: [0]), "tensor document: expected I64 [2], found I64 [1]")
    try check(tokens(documents: [0, -4]), "document: expected a number from 0 to 9223372036854775806, found -4")
    try check(tokens(lengths: [2]), "tensor valid_lengths: expected I32 [2], found I32 [1]")
    try check(tokens(lengths: [2, 2]), "valid_lengths[1]: expected a length from 1 to 1, found 2")
    try check(tokens(lengths: [0, 1]), "valid_lengths[0]: expected a length from 1 to 2, found 0")
    try check(tokens(starts: [0, 0]), "valid_starts: expected valid_lengths beside it, found none")
    try check(tokens(lengths: [1, 1], starts: [1]), "tensor valid_starts: expected I32 [2], found I32 [1]")
    try check(tokens(lengths: [1, 1], starts: [2, 0]), "valid_starts[0]: expected a number from 0 to 1, found 2")
    try check(tokens(lengths: [1, 1], starts: [1, -1]), "valid_starts[1]: expected a number from 0 to 0, found -1")
  }

  /// Streams of earlier programs have no documents.
  @Test func noDocuments() throws {
    var record = OutputRecord()
    record.add("input_ids", [Int32](arrayLiteral: 1))
    record.add("position", [Int32](arrayLiteral: 0))
    record.add("token", [Int32](arrayLiteral: 1))
    record.add("sample_index", [Int64](arrayLiteral: 0))
    try refuses(onlyDataRecord(record), "tensor document is missing") { _ = try TokenBatch($0) }
    try refuses(onlyDataRecord(record), "tensor document is missing") { _ = try GradientBatch($0) }
  }

  @Test func activeFeatures() throws {
    let check = { (offsets: [Int64], features: [Int32], values: [Float], message: String?) in
      var record = OutputRecord()
      record.add("cu_active.mlp_out.1", offsets)
      record.add("feature.mlp_out.1", features)
      record.add("value.mlp_out.1", values)
      let read = { (record: Record) throws -> Void in
        let rows = try ActiveRows(record, at: Place(.mlpOut, 1), positions: 2, width: 8)
        #expect(Array(rows.row(0).features) + Array(rows.row(1).features) == features)
        #expect(Array(rows.row(0).values) + Array(rows.row(1).values) == values)
      }
      if let message { return try refuses(onlyDataRecord(record), message, read) }
      let reader = StreamReader(try ReusedFile().opened(with: handmade([begin, onlyDataRecord(record)])))
      _ = try reader.nextSegment()
      try read(try #require(try reader.nextRecord()))
    }
    try check([0, 2, 3], [0, 7, 0], [1, 2, 3], nil)
    try check([0, 0, 0], [], [], nil)
    try check([0, 3], [0, 7, 0], [1, 2, 3], "tensor cu_active.mlp_out.1: expected I64 [3], found I64 [2]")
    try check([0, 2, 3], [0, 7, 0], [1, 2], "tensor value.mlp_out.1: expected F32 [3], found F32 [2]")
    let rise = "cu_active.mlp_out.1: expected numbers that rise from 0 to 3, found"
    try check([1, 2, 3], [0, 7, 0], [1, 2, 3], "\(rise) 1 to 3")
    try check([0, 2, 4], [0, 7, 0], [1, 2, 3], "\(rise) 0 to 4")
    try check([0, 4, 3], [0, 7, 0], [1, 2, 3], "\(rise) 0 to 3")
    try check([0, -1, 3], [0, 7, 0], [1, 2, 3], "\(rise) 0 to 3")
    let ascending = "feature.mlp_out.1: row 0: expected numbers that rise, from 0 to 7, found"
    try check([0, 2, 3], [4, 4, 0], [1, 2, 3], "\(ascending) 4 behind 4")
    try check([0, 2, 3], [4, 3, 0], [1, 2, 3], "\(ascending) 3 behind 4")
    try check([0, 2, 3], [4, 8, 0], [1, 2, 3], "\(ascending) 8 behind 4")
    try check([0, 2, 3], [-1, 8, 0], [1, 2, 3], "\(ascending) -1")
  }

  @Test func gradientTensors() throws {
    let check = { (record: [UInt8], message: String) in try refuses(record, message) { _ = try GradientBatch($0) } }
    try check(gradients(ends: [0, 3]), "tensor cu_positions: expected I32 [3], found I32 [2]")
    try check(gradients(ends: [0, 2, 9]), "cu_positions: expected numbers that rise from 0 to 3, found 0 to 9")
    try check(gradients(token: [7, 8]), "tensor token: expected I32 [3], found I32 [2]")
    try check(gradients(documents: [0, 0, 0]), "tensor document: expected I64 [2], found I64 [3]")
    try check(
      gradients(documents: [.max, 0]),
      "document: expected a number from 0 to 9223372036854775806, found 9223372036854775807")
    try check(gradients(predictions: [1]), "tensor predictions: expected I32 [2], found I32 [1]")
    try check(gradients(predictions: [1, -1]), "predictions: expected no negative number, found -1")
    try check(gradients(loss: [1]), "tensor loss: expected F64 [2], found F64 [1]")
    try check(
      gradients(samples: [0, .max]),
      "sample_index: expected a number from 0 to 9223372036854775806, found 9223372036854775807")
  }
}
