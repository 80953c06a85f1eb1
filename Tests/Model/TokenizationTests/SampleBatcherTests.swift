import SystemIO
import TensorStream
import Testing
import Tokenization

@Suite struct SampleBatcherTests {
  private static let samples: [[Int32]] = [[1, 2, 3], [4], [5, 6, 7, 8], [10, 11]]

  private func batches(_ batcher: SampleBatcher) throws -> [TokenBatch] {
    var batcher = batcher
    var batches: [TokenBatch] = []
    for (index, ids) in Self.samples.enumerated() {
      if let batch = try batcher.add(ids, index: Int64(100 + index), document: Int64(40 + index / 2)) {
        batches.append(batch)
      }
    }
    if let batch = batcher.finish() { batches.append(batch) }
    return batches
  }

  @Test func packs() throws {
    let found = try batches(try SampleBatcher(samplesPerBatch: 3, maximumLength: 4))
    #expect(
      found == [
        TokenBatch(
          inputIDs: [1, 2, 3, 4, 5, 6, 7, 8], cuSeqlens: [0, 3, 4, 8], sampleIndex: [100, 101, 102],
          document: [40, 40, 41]),
        TokenBatch(inputIDs: [10, 11], cuSeqlens: [0, 2], sampleIndex: [103], document: [41]),
      ])
  }

  @Test func pads() throws {
    let found = try batches(try SampleBatcher(samplesPerBatch: 2, maximumLength: 4, padID: 0))
    #expect(
      found == [
        TokenBatch(
          inputIDs: [1, 2, 3, 0, 4, 0, 0, 0], cuSeqlens: [0, 4, 8], sampleIndex: [100, 101], document: [40, 40],
          validLengths: [3, 1]),
        TokenBatch(
          inputIDs: [5, 6, 7, 8, 10, 11, 0, 0], cuSeqlens: [0, 4, 8], sampleIndex: [102, 103], document: [41, 41],
          validLengths: [4, 2]),
      ])
  }

  @Test func padsBefore() throws {
    let found = try batches(try SampleBatcher(samplesPerBatch: 3, maximumLength: 4, padID: 0, padsBefore: true))
    #expect(
      found == [
        TokenBatch(
          inputIDs: [0, 1, 2, 3, 0, 0, 0, 4, 5, 6, 7, 8], cuSeqlens: [0, 4, 8, 12], sampleIndex: [100, 101, 102],
          document: [40, 40, 41],
          validLengths: [3, 1, 4], validStarts: [1, 3, 0]),
        TokenBatch(
          inputIDs: [0, 0, 10, 11], cuSeqlens: [0, 4], sampleIndex: [103], document: [41], validLengths: [2],
          validStarts: [2]),
      ])
  }

  @Test func fullBatchesLeaveNothingBehind() throws {
    #expect(try batches(try SampleBatcher(samplesPerBatch: 4, maximumLength: 9)).count == 1)
    #expect(
      try batches(try SampleBatcher(samplesPerBatch: 1, maximumLength: 4)).map(\.inputIDs) == Self.samples)
  }

  @Test func refusesSamplesWithoutTokens() throws {
    var batcher = try SampleBatcher(samplesPerBatch: 2, maximumLength: 4)
    #expect(throws: Failure(.malformed, "sample 7: expected at least one token, found none")) {
      try batcher.add([], index: 7, document: 1)
    }
  }

  @Test func refusesBatchesBeyondTheirOffsets() throws {
    #expect(throws: Failure(.usage, "a batch of 65536 × 32768 tokens: expected at most 2147483647")) {
      try SampleBatcher(samplesPerBatch: 65_536, maximumLength: 32_768)
    }
    #expect(throws: Failure.self) { try SampleBatcher(samplesPerBatch: .max, maximumLength: 2) }
  }
}
