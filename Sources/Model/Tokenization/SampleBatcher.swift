import SystemIO
import TensorStream

/// Gathers tokenized samples into packed batches.
public struct SampleBatcher {
  private let samplesPerBatch: Int
  private let maximumLength: Int
  private let padID: Int32?
  private var batch: TokenBatch

  /// - Parameters:
  ///   - maximumLength: tokens that a sample may have.
  ///   - padID: fills every sample up to `maximumLength`; nil for no padding.
  /// - Throws: `Failure` of kind usage where a batch could have more tokens than its offsets can count.
  public init(samplesPerBatch: Int, maximumLength: Int, padID: Int32? = nil) throws {
    precondition(samplesPerBatch > 0 && maximumLength > 0)
    let (tokens, overflow) = samplesPerBatch.multipliedReportingOverflow(by: maximumLength)
    guard !overflow, tokens <= Int32.max else {
      throw Failure(
        .usage, "a batch of \(samplesPerBatch) × \(maximumLength) tokens: expected at most \(Int32.max)")
    }
    self.samplesPerBatch = samplesPerBatch
    self.maximumLength = maximumLength
    self.padID = padID
    batch = Self.emptyBatch(padded: padID != nil)
  }

  private static func emptyBatch(padded: Bool) -> TokenBatch {
    TokenBatch(inputIDs: [], cuSeqlens: [0], sampleIndex: [], validLengths: padded ? [] : nil)
  }

  /// Adds a sample; returns the batch that it completes.
  public mutating func add(_ ids: [Int32], index: Int64) throws -> TokenBatch? {
    guard !ids.isEmpty else { throw Failure(.malformed, "sample \(index): expected at least one token, found none") }
    precondition(ids.count <= maximumLength, "a sample longer than it may be")
    batch.inputIDs.append(contentsOf: ids)
    if let padID {
      batch.inputIDs.append(contentsOf: repeatElement(padID, count: maximumLength - ids.count))
      batch.validLengths?.append(Int32(ids.count))
    }
    batch.cuSeqlens.append(Int32(batch.inputIDs.count))
    batch.sampleIndex.append(index)
    return batch.sampleCount == samplesPerBatch ? takeBatch() : nil
  }

  /// The last batch, which may have fewer samples; nil where none is left.
  public mutating func finish() -> TokenBatch? {
    batch.sampleCount > 0 ? takeBatch() : nil
  }

  private mutating func takeBatch() -> TokenBatch {
    defer { batch = Self.emptyBatch(padded: padID != nil) }
    return batch
  }
}
