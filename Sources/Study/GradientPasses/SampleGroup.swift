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
  /// The tokens of all records, end to end.
  public private(set) var tokens: TokenBatch
  /// Each record's batch number and tokens, and which of the group's samples are its own.
  public private(set) var records: [(batch: Int, tokens: TokenBatch, samples: Range<Int>)]
  /// Each sample's loss where every record brings it.
  public private(set) var losses: [Double]?
  /// The tensors of that name of all records, by rows.
  private let tensors: [String: HostTensor]
  private let description: DecoderDescription
  private let passRows: Int

  fileprivate init(
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

  private func tensor(_ value: PlaceValue, _ place: Place) -> UnsafePointer<Float> {
    tensors[value.name(place)]!.values.baseAddress!
  }

  /// What a pass over these samples goes on from.
  ///
  /// - Parameters:
  ///   - replacement: what stands in for the captured activation, of these samples' rows, and which of them it changes.
  func start(
    at place: Place, _ samples: Range<Int>, replacement: (activation: Tensor, rows: [Int32])? = nil
  ) -> DecoderModel.Start {
    let first = rows(of: samples).lowerBound
    return DecoderModel.Start(
      place, activation: activation(place) + first * description.width(of: place.site),
      rest: place.site.isStream ? nil : tensor(.rest, place) + first * description.width, replacement: replacement)
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

/// Reads the data records of a segment as groups of samples.
public final class SampleGroupReader {
  private let reader: StreamReader
  private let description: DecoderDescription
  /// In the order in which a missing one is named.
  private let tensors: [(name: String, width: Int, joined: HostTensor)]
  private let passRows: Int
  /// A record that was read and did not fit into the group before it.
  private var held: (record: Record, tokens: TokenBatch)?
  private var isOver = false

  /// - Parameters:
  ///   - places: what every record must have captured.
  ///   - passRows: the rows that a pass has at most, unless a single sample has more.
  public init(
    _ reader: StreamReader, _ description: DecoderDescription, places: [Place] = [], passRows: Int
  ) {
    self.reader = reader
    self.passRows = passRows
    self.description = description
    tensors = places.flatMap { place in
      let activation = (PlaceValue.activation.name(place), description.width(of: place.site), HostTensor())
      let rest = (PlaceValue.rest.name(place), description.width, HostTensor())
      return place.site.isStream ? [activation] : [rest, activation]
    }
  }

  /// The next group, whose tensors are valid until the one after it is read; nil at the end of the segment.
  ///
  /// - Throws: `Failure` that names the record which lacks a tensor or has a token that the model does not know.
  public func next() throws -> SampleGroup? {
    var parts: [(batch: Int, tokens: TokenBatch, losses: [Double]?)] = []
    var rows = 0
    while let (record, tokens) = try held ?? read() {
      held = nil
      if rows > 0, rows + tokens.tokenCount > passRows {
        held = (record, tokens)
        break
      }
      for (name, width, joined) in tensors {
        let values = try record.tensor(name, shape: [tokens.tokenCount, width], of: Float.self)
        joined.append(values, after: rows * width)
      }
      let losses =
        record.has("loss") ? Array(try record.tensor("loss", shape: [tokens.sampleCount], of: Double.self)) : nil
      parts.append((try record.batch, tokens, losses))
      rows += tokens.tokenCount
    }
    return parts.isEmpty
      ? nil
      : SampleGroup(
        parts, tensors: Dictionary(uniqueKeysWithValues: tensors.map { ($0.name, $0.joined) }), description,
        passRows: passRows)
  }

  private func read() throws -> (Record, TokenBatch)? {
    guard !isOver, let record = try reader.nextRecord() else {
      isOver = true
      return nil
    }
    let tokens = try TokenBatch(record)
    try record.locating { try description.check(tokens) }
    return (record, tokens)
  }
}

extension StreamWriter {
  /// Writes what was made of each of the group's records.
  public func write(_ records: [OutputRecord], of group: SampleGroup) throws {
    for (record, source) in zip(records, group.records) { try write(record, batch: source.batch) }
  }
}
