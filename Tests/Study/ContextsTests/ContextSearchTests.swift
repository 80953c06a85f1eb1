import Aggregation
import Contexts
import SparseAutoencoders
import SystemIO
import TensorStream
import TestSupport
import Testing

/// The positions found are those of a search through everything, whatever is equal and however records come.
@Suite struct ContextSearchTests {
  private func expect(
    _ found: [(feature: FeatureName, contexts: [RankedContext])], _ stream: GridStream, _ choices: ContextChoices,
    _ what: String
  ) {
    for (feature, contexts) in found {
      let expected = stream.largest(feature.index, choices)
      let positions = expected.map { [$0.sample, Int64($0.position)] }
      #expect(contexts.map { [$0.context.sample, Int64($0.context.position)] } == positions, "\(what): \(feature)")
      #expect(contexts.map(\.rank) == Array(1...max(contexts.count, 1)).dropLast(contexts.isEmpty ? 1 : 0))
      for (context, row) in zip(contexts.map(\.context), expected) {
        #expect(context.gradient == Double(row.gradients[feature.index]) && context.token == row.token)
        #expect(context.predictions == row.predictions)
        if let activation = context.activation { #expect(activation == row.activations[feature.index]) }
      }
    }
  }

  @Test(arguments: Quantity.allCases, [false, true])
  func largestOfAll(_ quantity: Quantity, _ repeats: Bool) throws {
    for seed in 1...6 as ClosedRange<UInt64> {
      var stream = GridStream(seed: seed)
      for count in [1, 2, 7, 500] {
        let choices = ContextChoices(quantity, count: count, repeatsSamples: repeats, window: 3)
        for form in [GridStream.Form.dense, .active] {
          let found = try search(stream.bytes(form), [4, 0, 1, 2, 3], choices)
          #expect(found.map(\.feature.index) == [4, 0, 1, 2, 3])
          expect(found, stream, choices, "\(form), seed \(seed), \(count)")
        }
      }
      stream.records.reverse()
      let choices = ContextChoices(quantity, count: 5, repeatsSamples: repeats, window: 3)
      expect(try search(stream.bytes(), [0, 1], choices), stream, choices, "reversed, seed \(seed)")
    }
  }

  /// Without activations there are gradients alone.
  @Test func gradientsAlone() throws {
    let stream = GridStream(seed: 8)
    let choices = ContextChoices(.gradient, count: 9, window: 4)
    let found = try search(stream.bytes(.none), [2], choices)
    expect(found, stream, choices, "no activations")
    #expect(found[0].contexts.count == 9)
    for context in found[0].contexts.map(\.context) {
      #expect(context.activation == nil && context.attribution == nil)
      #expect(context.neighbours.allSatisfy { $0.activation == nil })
    }
    for quantity in [Quantity.attribution, .activation] {
      let wrong = failure { _ = try search(stream.bytes(.none), [2], ContextChoices(quantity, count: 1, window: 0)) }
      #expect(wrong?.kind == .malformed)
      #expect(
        wrong?.description.contains("--by \(quantity.rawValue): expected the activations at resid_post.3") == true)
    }
  }

  /// Gradients that an embedded decoder has yet to multiply are those that it makes.
  @Test(arguments: Quantity.allCases) func factored(_ quantity: Quantity) throws {
    let stream = GridStream(seed: 5)
    // Each feature's gradient is one of three numbers, or its negative.
    let decoder: [Float] = [1, 0, 0, 0, 1, 0, 0, 0, 1, -1, 0, 0, 0, -1, 0]
    var multiplied = stream
    multiplied.records = stream.records.map { samples in
      samples.map { rows in
        rows.map { row in
          let g = Array(row.gradients.prefix(3))
          return GridStream.Row(
            sample: row.sample, position: row.position, token: row.token, predictions: row.predictions,
            gradients: g + [-g[0], -g[1]], activations: row.activations)
        }
      }
    }
    let reference =
      #"{"embedded":true,"features":5,"format":"","keeps_decoder_norms":false,"path":"/a","width":3,"xxh64":"0"}"#
    let provenance = [PlaceValue.basis.name(place): reference]
    let basis = try streamBytes { writer in
      try writer.begin(.gradients, provenance: provenance)
      var record = OutputRecord()
      record.add(PlaceValue.basis.name(place), decoder, shape: [5, 3])
      try writer.write(record, batch: nil)
      try writer.end()
    }
    // A segment of the decoder alone, and one of gradients that has it, too.
    let gradients = try stream.bytes(.active, provenance: [:]) { Array($0.gradients.prefix(3)) }
    let choices = ContextChoices(quantity, count: 6, repeatsSamples: true, window: 2)
    expect(try search(basis + gradients, [0, 3, 4], choices), multiplied, choices, "factored")
    let beyond = failure { _ = try search(basis + gradients, [5], choices) }
    #expect(beyond?.kind == .usage)
    #expect(beyond?.description == "resid_post.3:5: expected a feature of the autoencoder, from 0 to 4")
  }

  @Test func neighboursOfTheSample() throws {
    let stream = GridStream(seed: 4)
    for window in [0, 1, 2, 5, 100] {
      let choices = ContextChoices(.activation, count: 100, repeatsSamples: true, window: window)
      for context in try search(stream.bytes(.active), [3], choices)[0].contexts.map(\.context) {
        let near = stream.rows.filter {
          $0.sample == context.sample && $0.position != context.position
            && abs(Int($0.position) - Int(context.position)) <= window
        }
        #expect(context.neighbours.map(\.position) == near.map(\.position))
        #expect(context.neighbours.map(\.token) == near.map(\.token))
        #expect(context.neighbours.map(\.activation) == near.map { $0.activations[3] })
        let last = stream.rows.filter { $0.sample == context.sample }.map(\.position).max()!
        #expect(Int(context.lastKnownPosition) == min(Int(last), Int(context.position) + window))
      }
    }
  }

  @Test func refusals() throws {
    let stream = GridStream(seed: 6)
    let choices = ContextChoices(.attribution, count: 3, window: 0)
    let beyond = failure { _ = try search(stream.bytes(), [5], choices) }
    #expect(beyond?.kind == .usage)
    #expect(beyond?.description == "resid_post.3:5: expected a dimension of the activation, from 0 to 4")
    // What comes twice takes two of the places.
    let bytes = try stream.bytes()
    let twice = failure { _ = try search(bytes + bytes, [1], choices) }
    #expect(twice?.kind == .malformed && twice?.description.contains("is an input given twice?") == true)
    let absent = failure {
      let search = ContextSearch([FeatureName(Place(.mlpOut, 1), 0)], choices, sae: nil, threads: 1)
      let reader = StreamReader(try ReusedFile().opened(with: bytes))
      try search.begin(try #require(try reader.nextSegment()))
      while let record = try reader.nextRecord() { _ = try search.add(record) }
      _ = try search.finish()
    }
    #expect(absent?.kind == .malformed)
    #expect(absent?.description == "expected gradients at mlp_out.1, found resid_post.3")
    let nonfinite = failure {
      _ = try search(stream.bytes(gradients: { _ in [.nan, 1, 1, 1, 1] }), [0], choices)
    }
    #expect(nonfinite?.kind == .malformed)
    #expect(nonfinite?.description.contains("resid_post.3:0: attribution nan at sample ") == true)
    // Of a feature that nobody asked for it is none of the search's business.
    #expect(try !search(stream.bytes(gradients: { _ in [.nan, 1, 1, 1, 1] }), [1], choices)[0].contexts.isEmpty)
  }
}
