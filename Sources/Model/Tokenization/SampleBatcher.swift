import SystemIO
import TensorStream

/// Gathers tokenized samples into packed batches.
public struct SampleBatcher {
  private let samplesPerBatch: Int
  private let maximumLength: Int
  private let padID: Int32?
  private let padsBefore: Bool
  private var batch: TokenBatch

  /// - Parameters:
  ///   - maximumLength: tokens that a sample may have.
  ///   - padID: fills every sample up to `maximumLength`; nil for no padding.
  ///   - padsBefore: padding comes before the samples, not behind them.
  /// - Throws: `Failure` of kind usage where a batch could have more tokens than its offsets can count.
  public init(samplesPerBatch: Int, maximumLength: Int, padID: Int32? = nil, padsBefore: Bool = false) throws {
    precondition(samplesPerBatch > 0 && maximumLength > 0)
    let (tokens, overflow) = samplesPerBatch.multipliedReportingOverflow(by: maximumLength)
    guard !overflow, tokens <= Int32.max else {
      throw Failure(
        .usage, "a batch of \(samplesPerBatch) × \(maximumLength) tokens: expected at most \(Int32.max)")
    }
    self.samplesPerBatch = samplesPerBatch
    self.maximumLength = maximumLength
    self.padID = padID
    self.padsBefore = padsBefore
    batch = TokenBatch(inputIDs: [], cuSeqlens: [0], sampleIndex: [], document: [])
    _ = takeBatch()
  }

  /// Adds a sample; returns the batch that it completes.
  public mutating func add(_ ids: [Int32], index: Int64, document: Int64) throws -> TokenBatch? {
    guard !ids.isEmpty else { throw Failure(.malformed, "sample \(index): expected at least one token, found none") }
    precondition(ids.count <= maximumLength, "a sample longer than it may be")
    let padding = padID.map { repeatElement($0, count: maximumLength - ids.count) }
    if let padding, padsBefore { batch.inputIDs.append(contentsOf: padding) }
    batch.inputIDs.append(contentsOf: ids)
    if let padding, !padsBefore { batch.inputIDs.append(contentsOf: padding) }
    batch.validLengths?.append(Int32(ids.count))
    batch.validStarts?.append(Int32(maximumLength - ids.count))
    batch.cuSeqlens.append(Int32(batch.inputIDs.count))
    batch.sampleIndex.append(index)
    batch.document.append(document)
    return batch.sampleCount == samplesPerBatch ? takeBatch() : nil
  }

  /// The last batch, which may have fewer samples; nil where none is left.
  public mutating func finish() -> TokenBatch? {
    batch.sampleCount > 0 ? takeBatch() : nil
  }

  private mutating func takeBatch() -> TokenBatch {
    defer {
      batch = TokenBatch(
        inputIDs: [], cuSeqlens: [0], sampleIndex: [], document: [], validLengths: padID == nil ? nil : [],
        validStarts: padID == nil || !padsBefore ? nil : [])
    }
    return batch
  }
}
