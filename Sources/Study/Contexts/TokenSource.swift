import SystemIO
import TensorStream
import Tokenization

/// The tokens stream of the run that made gradients, which knows the text around their positions.
public final class TokenSource {
  private let reader: StreamReader
  private let first: Segment?
  /// What the gradients' segments say of their origin.
  private var gradients: [String: String] = [:]

  /// What makes the same text the same samples and tokens.
  private static let keys = ["tokenizer.xxh64", "samples.form", "min_chars", "special_tokens", "padding"]

  /// Reads the begin record.
  public init(_ file: InputFile) throws {
    reader = StreamReader(file)
    first = try reader.nextSegment(.tokens)
  }

  /// - Throws: `Failure` of kind malformed where these are not the tokens that the gradients' segment comes from.
  public func check(for gradients: Segment) throws {
    self.gradients = gradients.provenance
    if let first { try check(first) }
  }

  private func check(_ segment: Segment) throws {
    func difference(_ key: String, _ found: String, _ expected: String) -> Failure {
      Failure(
        .malformed,
        "\(reader.name): not the tokens of the gradients: \(key): expected \(expected), found \(found)")
    }
    for key in Self.keys {
      guard let found = segment.provenance[key], let expected = gradients[key], found != expected else { continue }
      throw difference(key, found, expected)
    }
    let (found, expected) = (try TextIdentity.texts(of: segment.provenance), try TextIdentity.texts(of: gradients))
    guard found[0] != .unknown, expected[0] != .unknown, !found[0].agrees(with: expected[0]) else { return }
    throw difference(
      TextIdentity.wholeKey, found[0].whole ?? found[0].start ?? "none",
      expected[0].whole ?? expected[0].start ?? "none")
  }

  /// The text around each of the contexts, in their order. Reads the stream to its end.
  ///
  /// - Throws: `Failure` of kind malformed where a sample is missing or has other tokens.
  public func texts(
    around contexts: [FeatureContext], window: Int, _ tokenizer: Tokenizer?
  ) throws -> [ContextText] {
    var wanted = Dictionary(grouping: contexts.indices) { contexts[$0].sample }
    var texts = [ContextText?](repeating: nil, count: contexts.count)
    var segment = first
    while let current = segment {
      try check(current)
      while let record = try reader.nextRecord() {
        do {
          let batch = try TokenBatch(record)
          for sample in 0..<batch.sampleCount {
            guard let indices = wanted.removeValue(forKey: batch.sampleIndex[sample]) else { continue }
            let ids = Array(batch.inputIDs[batch.validRows(of: sample)])
            for index in indices { try check(ids, batch.predictions(of: sample), contexts[index], record) }
            let tokens = try shown(ids, tokenizer)
            for index in indices {
              texts[index] = ContextText(tokens, around: Int(contexts[index].position), window: window)
            }
          }
        } catch let failure as Failure { throw failure.at(reader.name) }
      }
      segment = try reader.nextSegment(.tokens)
    }
    if let missing = wanted.keys.min() {
      throw Failure(.malformed, "\(reader.name): expected sample \(missing) of the gradients, found no such sample")
    }
    return texts.map { $0! }
  }

  private func check(
    _ ids: [Int32], _ predictions: Int32, _ context: FeatureContext, _ record: Record
  ) throws(Failure) {
    func failure(_ what: String, _ expected: Int32, _ found: String) -> Failure {
      record.failure(
        "sample \(context.sample): not the tokens of the gradients: expected \(what)\(expected), found \(found)")
    }
    guard predictions == context.predictions else {
      throw failure("this number of predictions: ", context.predictions, "\(predictions)")
    }
    let position = Int(context.position)
    guard ids.indices.contains(position), ids[position] == context.token else {
      throw failure(
        "at position \(position) token ", context.token, ids.indices.contains(position) ? "\(ids[position])" : "none")
    }
  }
}
