import SystemIO
import TensorOperations
import TensorStream

/// A batch as the model's passes need it.
public struct Batch {
  public let samples: PackedSamples
  public let inputIDs: [Int32]
  /// Each row's position in its sample.
  let positions: [Int32]
  /// Each row's next token; −1 in a sample's last row, which predicts nothing.
  let targets: [Int32]

  /// - Throws: as `DecoderDescription.check`.
  public init(_ tokens: TokenBatch, _ description: DecoderDescription) throws {
    try description.check(tokens.inputIDs)
    self.init(tokens, samples: 0..<tokens.sampleCount)
  }

  /// Some of a batch's samples, whose token ids were checked.
  public init(_ tokens: TokenBatch, samples chosen: Range<Int>) {
    let start = Int(tokens.cuSeqlens[chosen.lowerBound])
    samples = PackedSamples(
      chosen.map { sample in
        let rows = tokens.rows(of: sample)
        return .init(rows: rows.lowerBound - start..<rows.upperBound - start, valid: tokens.validLength(of: sample))
      })
    inputIDs = Array(tokens.inputIDs[start..<Int(tokens.cuSeqlens[chosen.upperBound])])
    positions = samples.positions
    targets = chosen.flatMap { tokens.inputIDs[tokens.rows(of: $0)].dropFirst() + [-1] }
  }

  public var rowCount: Int { inputIDs.count }
}

extension DecoderDescription {
  /// - Throws: `Failure` of kind malformed for a token that the vocabulary does not have.
  public func check(_ inputIDs: [Int32]) throws {
    guard let id = inputIDs.first(where: { !(0..<Int32(vocabularySize)).contains($0) }) else { return }
    throw Failure(
      .malformed, "token id \(id): the model's vocabulary has \(vocabularySize) entries: wrong tokenizer?")
  }
}
