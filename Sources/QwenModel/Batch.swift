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

  /// - Throws: `Failure` of kind malformed for a token that the vocabulary does not have.
  public init(_ tokens: TokenBatch, _ configuration: QwenConfiguration) throws {
    if let id = tokens.inputIDs.first(where: { !(0..<Int32(configuration.vocabularySize)).contains($0) }) {
      throw Failure(
        .malformed,
        "token id \(id): the model's vocabulary has \(configuration.vocabularySize) entries: wrong tokenizer?")
    }
    samples = PackedSamples(
      (0..<tokens.sampleCount).map { .init(rows: tokens.rows(of: $0), valid: tokens.validLength(of: $0)) })
    inputIDs = tokens.inputIDs
    positions = samples.positions
    targets = samples.samples.flatMap { sample in
      tokens.inputIDs[sample.rows].dropFirst() + [-1]
    }
  }

  public var rowCount: Int { inputIDs.count }
}
