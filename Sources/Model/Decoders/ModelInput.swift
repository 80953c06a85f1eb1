import SystemIO
import TensorOperations
import TensorStream

/// What a pass of the model is given: some samples' tokens, and what follows from where they lie.
public struct ModelInput {
  /// Where each sample lies, its padding included.
  let sampleRows: [Range<Int>]
  /// The same as attention sees it.
  let samples: PackedSamples
  public let inputIDs: [Int32]
  /// Which of the batch's samples these are.
  public let sampleRange: Range<Int>
  /// Each row's position in its sample.
  let positions: [Int32]
  /// Each row's next token; −1 in a sample's last row, which predicts nothing.
  let targets: [Int32]

  init(
    sampleRows: [Range<Int>], samples: PackedSamples, inputIDs: [Int32], sampleRange: Range<Int>, positions: [Int32],
    targets: [Int32]
  ) {
    self.sampleRows = sampleRows
    self.samples = samples
    self.inputIDs = inputIDs
    self.sampleRange = sampleRange
    self.positions = positions
    self.targets = targets
  }

  /// - Throws: as `DecoderDescription.check`.
  public init(_ tokens: TokenBatch, _ description: DecoderDescription) throws {
    try description.check(tokens)
    self.init(tokens, samples: 0..<tokens.sampleCount)
  }

  /// Some of a batch's samples, whose token ids were checked.
  public init(_ tokens: TokenBatch, samples chosen: Range<Int>) {
    sampleRange = chosen
    let start = Int(tokens.cuSeqlens[chosen.lowerBound])
    let inPass = { (rows: Range<Int>) in rows.lowerBound - start..<rows.upperBound - start }
    sampleRows = chosen.map { inPass(tokens.rows(of: $0)) }
    samples = PackedSamples(
      chosen.flatMap { sample in
        let (rows, valid) = (tokens.rows(of: sample), tokens.validRows(of: sample))
        let padding = inPass(rows.lowerBound..<valid.lowerBound)
        let real = PackedSamples.Sample(rows: inPass(valid.lowerBound..<rows.upperBound), valid: valid.count)
        return padding.isEmpty ? [real] : [.init(rows: padding, valid: 0), real]
      })
    inputIDs = Array(tokens.inputIDs[start..<Int(tokens.cuSeqlens[chosen.upperBound])])
    positions = chosen.flatMap { (0..<Int32(tokens.rows(of: $0).count)) }
    targets = chosen.flatMap { tokens.inputIDs[tokens.rows(of: $0)].dropFirst() + [-1] }
  }

  public var rowCount: Int { inputIDs.count }
}

extension DecoderDescription {
  /// - Throws: `Failure` of kind malformed for a token that the vocabulary does not have, and for a sample with more
  ///   positions than the model has learned.
  public func check(_ tokens: TokenBatch) throws(Failure) {
    if let id = tokens.inputIDs.first(where: { !(0..<Int32(vocabularySize)).contains($0) }) {
      throw Failure(
        .malformed, "token id \(id): the model's vocabulary has \(vocabularySize) entries: wrong tokenizer?")
    }
    guard let learnedPositions else { return }
    for sample in 0..<tokens.sampleCount where tokens.rows(of: sample).count > learnedPositions {
      throw Failure(
        .malformed,
        "sample \(tokens.sampleIndex[sample]): expected at most \(learnedPositions) tokens, the positions that the model "
          + "has learned, found \(tokens.rows(of: sample).count): see wt-tokenize --max-length")
    }
  }
}
