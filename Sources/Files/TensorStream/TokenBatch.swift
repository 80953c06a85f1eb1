import SystemIO

/// The token tensors of a batch: N tokens of B samples, packed one sample after another.
public struct TokenBatch: Equatable, Sendable {
  /// [N]
  public var inputIDs: [Int32]
  /// [B+1]: sample i has the tokens from `cuSeqlens[i]` up to `cuSeqlens[i + 1]`.
  public var cuSeqlens: [Int32]
  /// [B]: each sample's number in the text it was taken from.
  public var sampleIndex: [Int64]
  /// [B]: the number in that text of the document that each sample is part of.
  public var document: [Int64]
  /// [B] where samples are padded: how many of a sample's tokens are real; the others are scored but never attended to.
  public var validLengths: [Int32]?
  /// [B] where padding lies before samples: how many of a sample's tokens are padding before its first real one.
  public var validStarts: [Int32]?

  /// - Parameter document: where it is nil, each sample is a document of its own.
  public init(
    inputIDs: [Int32], cuSeqlens: [Int32], sampleIndex: [Int64], document: [Int64]? = nil, validLengths: [Int32]? = nil,
    validStarts: [Int32]? = nil
  ) {
    self.inputIDs = inputIDs
    self.cuSeqlens = cuSeqlens
    self.sampleIndex = sampleIndex
    self.document = document ?? sampleIndex
    self.validLengths = validLengths
    self.validStarts = validStarts
  }

  /// Batches end to end. Where only some are padded, all samples have their valid lengths, and their starts likewise.
  public init(joining batches: [TokenBatch]) {
    self.init(
      inputIDs: batches.flatMap(\.inputIDs), cuSeqlens: [0], sampleIndex: batches.flatMap(\.sampleIndex),
      document: batches.flatMap(\.document))
    for batch in batches {
      let first = cuSeqlens.last!
      cuSeqlens += batch.cuSeqlens.dropFirst().map { first + $0 }
    }
    if batches.contains(where: { $0.validLengths != nil }) {
      validLengths = batches.flatMap { batch in (0..<batch.sampleCount).map { Int32(batch.validRows(of: $0).count) } }
    }
    if batches.contains(where: { $0.validStarts != nil }) {
      validStarts = batches.flatMap { batch in batch.validStarts ?? Array(repeating: 0, count: batch.sampleCount) }
    }
  }

  public var tokenCount: Int { inputIDs.count }
  public var sampleCount: Int { sampleIndex.count }

  /// The rows of sample `sample`.
  public func rows(of sample: Int) -> Range<Int> {
    Int(cuSeqlens[sample])..<Int(cuSeqlens[sample + 1])
  }

  /// The rows of sample `sample` that are real tokens.
  public func validRows(of sample: Int) -> Range<Int> {
    let rows = rows(of: sample)
    let first = rows.lowerBound + (validStarts.map { Int($0[sample]) } ?? 0)
    return first..<(validLengths.map { first + Int($0[sample]) } ?? rows.upperBound)
  }

  /// [B]: the predictions that the loss sums over, one fewer than the tokens.
  public var predictions: [Int32] { (0..<sampleCount).map(predictions(of:)) }

  /// Those of sample `sample`.
  public func predictions(of sample: Int) -> Int32 { Int32(rows(of: sample).count - 1) }

  /// Reads and checks the token tensors of a data record.
  public init(_ record: Record) throws {
    let ids = try record.tensor("input_ids", shape: [nil], of: Int32.self)
    let (samples, documents) = try record.sampleAndDocumentNumbers()
    let cuSeqlens = try record.cumulativeLengths("cu_seqlens", samples: samples.count, total: ids.count)
    for sample in 0..<samples.count where cuSeqlens[sample] == cuSeqlens[sample + 1] {
      throw record.failure("cu_seqlens: expected at least one token in sample \(sample) of the batch, found none")
    }
    self.init(inputIDs: Array(ids), cuSeqlens: cuSeqlens, sampleIndex: samples, document: documents)
    if record.has("valid_lengths") {
      let lengths = try record.tensor("valid_lengths", shape: [samples.count], of: Int32.self)
      for (sample, length) in lengths.enumerated() where !(1...rows(of: sample).count).contains(Int(length)) {
        throw record.failure(
          "valid_lengths[\(sample)]: expected a length from 1 to \(rows(of: sample).count), found \(length)")
      }
      validLengths = Array(lengths)
    }
    if record.has("valid_starts") {
      guard let validLengths else { throw record.failure("valid_starts: expected valid_lengths beside it, found none") }
      let starts = try record.tensor("valid_starts", shape: [samples.count], of: Int32.self)
      for (sample, start) in starts.enumerated() {
        let padding = rows(of: sample).count - Int(validLengths[sample])
        guard (0...padding).contains(Int(start)) else {
          throw record.failure("valid_starts[\(sample)]: expected a number from 0 to \(padding), found \(start)")
        }
      }
      validStarts = Array(starts)
    }
  }

  public func add(to record: inout OutputRecord) {
    record.add("input_ids", inputIDs)
    record.add("cu_seqlens", cuSeqlens)
    record.add("sample_index", sampleIndex)
    record.add("document", document)
    if let validLengths { record.add("valid_lengths", validLengths) }
    if let validStarts { record.add("valid_starts", validStarts) }
  }
}

extension Record {
  /// sample_index and document, I64 [samples].
  func sampleAndDocumentNumbers() throws -> (samples: [Int64], documents: [Int64]) {
    let samples = try numbers("sample_index", count: nil)
    return (samples, try numbers("document", count: samples.count))
  }

  /// None negative, and none so large that nothing could follow it.
  private func numbers(_ name: String, count: Int?) throws -> [Int64] {
    let numbers = try tensor(name, shape: [count], of: Int64.self)
    if let wrong = numbers.first(where: { $0 < 0 || $0 == .max }) {
      throw failure("\(name): expected a number from 0 to \(Int64.max - 1), found \(wrong)")
    }
    return Array(numbers)
  }

  /// An I32 [samples + 1] tensor that begins with 0, never falls, and ends with `total`.
  func cumulativeLengths(_ name: String, samples: Int, total: Int) throws -> [Int32] {
    let values = try tensor(name, shape: [samples + 1], of: Int32.self)
    guard values[0] == 0, Int(values[samples]) == total, zip(values, values.dropFirst()).allSatisfy({ $0 <= $1 }) else {
      throw failure("\(name): expected numbers that rise from 0 to \(total), found \(values[0]) to \(values[samples])")
    }
    return Array(values)
  }
}
