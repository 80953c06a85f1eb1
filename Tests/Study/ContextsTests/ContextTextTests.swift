import Aggregation
import Contexts
import SystemIO
import TensorStream
import TestSupport
import Testing

/// The tokens around a context, from the stream of tokens and without it.
@Suite struct ContextTextTests {
  private let stream = GridStream(seed: 12)
  private let contexts: [FeatureContext]

  init() throws {
    let choices = ContextChoices(.activation, count: 100, repeatsSamples: true, window: 3)
    contexts = try search(stream.bytes(), [0], choices)[0].contexts.map(\.context)
  }

  /// The tokens of every sample: positions that are not recorded lie between those that are, and one at the end.
  private func tokens(_ change: (inout [Int32], Int64) -> Void = { _, _ in }) throws -> [UInt8] {
    let samples = stream.records.flatMap { $0 }.filter { !$0.isEmpty }
    return try streamBytes { writer in
      try writer.begin(.tokens, provenance: ["tokenizer.xxh64": "aa", "text.xxh64": "01"])
      for (number, rows) in samples.enumerated() {
        var ids = (0...rows[0].predictions).map { Int32(100 * rows[0].sample) + $0 }
        change(&ids, rows[0].sample)
        var record = OutputRecord()
        TokenBatch(inputIDs: ids, cuSeqlens: [0, Int32(ids.count)], sampleIndex: [rows[0].sample]).add(to: &record)
        try writer.write(record, batch: number)
      }
      try writer.end()
    }
  }

  private func source(_ bytes: [UInt8], for provenance: [String: String] = [:]) throws -> TokenSource {
    let source = try TokenSource(try ReusedFile().opened(with: bytes))
    try source.check(for: Segment(kind: .gradients, provenance: provenance))
    return source
  }

  @Test func tokensOfTheSample() throws {
    #expect(contexts.count > 10)
    for window in [0, 1, 3] {
      let texts = try source(tokens()).texts(around: contexts, window: window, nil)
      for (text, context) in zip(texts, contexts) {
        let first = Int32(100 * context.sample)
        func shown(_ positions: Range<Int32>) -> [ShownToken] {
          positions.clamped(to: 0..<context.predictions + 1).map { .id(first + $0) }
        }
        #expect(text.token == .id(first + context.position) && text.token == .id(context.token))
        #expect(text.before == shown(context.position - Int32(window)..<context.position))
        #expect(text.after == shown(context.position + 1..<context.position + 1 + Int32(window)))
      }
    }
  }

  /// The gradients know every second token.
  @Test func withoutTheTokens() throws {
    for context in contexts {
      let text = try ContextText(context, window: 3, nil)
      let first = Int32(100 * context.sample)
      let last = stream.rows.filter { $0.sample == context.sample }.map(\.position).max()!
      func shown(_ positions: Range<Int32>) -> [ShownToken] {
        positions.clamped(to: 0..<last + 1).map { $0 % 2 == 0 ? .id(first + $0) : .unknown }
      }
      #expect(text.before == shown(context.position - 3..<context.position))
      #expect(text.after == shown(context.position + 1..<context.position + 4))
    }
  }

  @Test func tokensOfAnotherRun() throws {
    let sample = contexts[0].sample
    for (change, message) in [
      ({ ids, number in if number == sample { ids[Int(contexts[0].position)] += 1 } }, "expected at position "),
      ({ ids, number in if number == sample { ids.append(1) } }, "expected this number of predictions: "),
    ] as [((inout [Int32], Int64) -> Void, String)] {
      let wrong = failure { _ = try source(tokens(change)).texts(around: contexts, window: 1, nil) }
      #expect(wrong?.kind == .malformed)
      #expect(wrong?.description.contains("sample \(sample): not the tokens of the gradients: \(message)") == true)
    }
    let missing = failure {
      let few = try tokenStream([[[1, 2]]], firstSample: 5000)
      _ = try source(few).texts(around: contexts, window: 1, nil)
    }
    let least = contexts.map(\.sample).min()!
    #expect(missing?.description.contains("expected sample \(least) of the gradients, found no such sample") == true)
    for (key, message) in [
      ("tokenizer.xxh64", "tokenizer.xxh64: expected bb, found aa"),
      ("text.xxh64", "text.xxh64: expected bb, found 01"),
    ] {
      let other = failure { _ = try source(tokens(), for: [key: "bb"]) }
      #expect(other?.kind == .malformed)
      #expect(other?.description.hasSuffix("not the tokens of the gradients: \(message)") == true)
    }
    // What the gradients do not say cannot differ.
    _ = try source(tokens(), for: ["tokenizer.xxh64": "aa"])
    // Cut short.
    let cut = failure { _ = try source(Array(tokens().dropLast(3))).texts(around: contexts, window: 1, nil) }
    #expect(cut?.kind == .malformed)
  }
}
