import Decoders
import SystemIO
import TensorFiles
import TensorOperations
import TensorStream

/// Consecutive records of a tokens or activations stream whose samples go through the model together.
///
/// A product of few rows spends much of its time on bringing the weights to the processor; of 1,024 rows, next to
/// nothing. Samples do not see each other, so records can be joined, and a record of very many rows can be taken in
/// several passes: what a pass needs in memory does not grow with the records.
public struct SampleGroup {
  public typealias Member = (batch: Int, tokens: TokenBatch, samples: Range<Int>)

  /// The tokens of all records, end to end.
  public private(set) var tokens: TokenBatch
  /// Each record's batch number and tokens, and which of the group's samples are its own.
  public private(set) var records: [Member]
  /// Each sample's loss where every record brings it.
  public private(set) var losses: [Double]?
  /// The tensors of that name of all records, by rows.
  private let tensors: [String: HostTensor]
  private let description: DecoderDescription
  private let passRows: Int

  init(
    _ parts: [(batch: Int, tokens: TokenBatch, losses: [Double]?)], tensors: [String: HostTensor],
    _ description: DecoderDescription, passRows: Int
  ) {
    self.passRows = passRows
    self.description = description
    tokens = TokenBatch(joining: parts.map(\.tokens))
    records = []
    losses = parts.allSatisfy { $0.losses != nil } ? parts.flatMap { $0.losses! } : nil
    self.tensors = tensors
    for part in parts {
      let first = records.last?.samples.upperBound ?? 0
      records.append((part.batch, part.tokens, first..<first + part.tokens.sampleCount))
    }
  }

  func rows(of samples: Range<Int>) -> Range<Int> {
    Int(tokens.cuSeqlens[samples.lowerBound])..<Int(tokens.cuSeqlens[samples.upperBound])
  }

  /// What was captured at a place that the reader was asked for, (N,W).
  func activation(_ place: Place) -> UnsafePointer<Float> { tensor(.activation, place) }

  /// What the residual stream is without that, (N,D); nil where the place is the stream itself.
  func rest(_ place: Place) -> UnsafePointer<Float>? { place.site.isStream ? nil : tensor(.rest, place) }

  private func tensor(_ value: PlaceValue, _ place: Place) -> UnsafePointer<Float> {
    tensors[value.name(place)]!.values.baseAddress!
  }

  /// The first by name of the records' tensors that has a NaN or an infinity.
  func tensorWithNonfinite() -> String? {
    if losses?.contains(where: { !$0.isFinite }) == true { return "loss" }
    return tensors.sorted { $0.key < $1.key }.first { firstNonfinite($0.value.values) != nil }?.key
  }

  /// The group's samples in passes of `passRows` rows or fewer, where samples are that short.
  var passes: [ModelInput] {
    var passes: [Range<Int>] = []
    for sample in 0..<tokens.sampleCount {
      if let last = passes.last, Int(tokens.cuSeqlens[sample + 1] - tokens.cuSeqlens[last.lowerBound]) <= passRows {
        passes[passes.count - 1] = last.lowerBound..<sample + 1
      } else {
        passes.append(sample..<sample + 1)
      }
    }
    return passes.map { ModelInput(tokens, samples: $0) }
  }
}

extension StreamWriter {
  /// Writes what was made of each of a group's records.
  public func write(_ records: [OutputRecord], of members: [SampleGroup.Member]) throws {
    for (record, source) in zip(records, members) { try write(record, batch: source.batch) }
  }
}
