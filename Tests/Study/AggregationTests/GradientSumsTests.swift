import Aggregation
import SystemIO
import TensorStream
import TestSupport
import Testing

private let choices: [AggregationChoices] = LossReduction.allCases.flatMap { reduction in
  Weighting.allCases.flatMap { weighting in
    [[.meanAbsolute], [.mean], Set(AveragingMode.allCases)].map { modes in
      AggregationChoices(modes: modes, lossReduction: reduction, weighting: weighting, paddedPredictions: 15)
    }
  }
}

private let plain = AggregationChoices(modes: [.mean, .meanAbsolute], lossReduction: .sum, weighting: .position)

@Suite struct GradientSumsTests {
  /// Widths on both sides of what the processor adds at once.
  @Test(arguments: choices, [1, 5, 37])
  func everyChoiceAgainstTheDefinition(_ choices: AggregationChoices, _ width: Int) throws {
    let batches = RaggedBatch.examples(width: width, seed: UInt64(width))
    let sums = try aggregated(batches, choices)
    #expect(sums.places.keys.sorted() == [mlpOut, residPost])
    for (place, placeSums) in sums.places {
      #expect(placeSums.width == width)
      #expect(placeSums.measures.map(\.measure) == choices.modes.sorted().map { .average(.gradient, $0) })
      #expect(placeSums.positions == 34)
      #expect(placeSums.samples.count == 13)
      #expect(placeSums.predictions == batches.reduce(0) { $0 + $1.predictions.reduce(0, +) })
      #expect(placeSums.loss == 34 + 13 * 0.25)
      for mode in choices.modes {
        let expected = oracle(batches, place: place, width: width, mode, choices)
        #expect(relativeL2(placeSums.average(mode), expected) < 1e-13)
      }
    }
  }

  /// The written record holds what the page says, and merging it alone changes nothing.
  @Test(arguments: choices)
  func mergeOfPartialsEqualsOneRun(_ choices: AggregationChoices) throws {
    let batches = RaggedBatch.examples(width: 6, seed: 9)
    let whole = try aggregated(batches, choices)
    let merged = GradientSums(choices)
    for part in [batches[..<2], batches[2..<3], batches[3...]] {
      let partial = try aggregated(Array(part), choices).record()
      try reading(.aggregates, [partial]) { try merged.merge(partial: $0) }
    }
    for (place, expected) in whole.places {
      let found = try #require(merged.places[place])
      #expect(found.samples == expected.samples)
      #expect(found.positions == expected.positions)
      #expect(found.predictions == expected.predictions)
      #expect(relativeL2([found.weight, found.loss], [expected.weight, expected.loss]) < 1e-15)
      for mode in choices.modes { #expect(relativeL2(found.average(mode), expected.average(mode)) < 1e-12) }
    }
  }

  @Test func recordOfAggregates() throws {
    let sums = try aggregated(RaggedBatch.examples(width: 5, seed: 2), plain)
    try reading(.aggregates, [sums.record()]) { (record) throws in
      let ofMeasures = ["mean", "mean_abs"].flatMap { name in
        ["even", "squares", "products", "open"].map { "\(name)_\($0)" }
      }
      let others = [
        "even_weight", "loss", "open_documents", "open_weights", "positions", "predictions", "samples",
        "squared_weight", "sum", "sum_abs", "units", "weight",
      ]
      #expect(
        record.header.tensors.map(\.name).filter { $0.hasSuffix(".mlp_out.3") }.sorted()
          == (ofMeasures + others).map { "\($0).mlp_out.3" }.sorted())
      #expect(try Array(record.tensor("samples.mlp_out.3", shape: [2, 2], of: Int64.self)) == [1, 7, 107, 114])
      #expect(try Array(record.tensor("weight.mlp_out.3", shape: [1], of: Double.self)) == [34])
      #expect(
        try Array(record.tensor("sum_abs.mlp_out.3", shape: [5], of: Double.self))
          == sums.places[mlpOut]!.measures[1].total)
    }
    var finished = OutputRecord()
    sums.places[mlpOut]!.estimate(.average(.gradient, .mean)).write(to: &finished, at: mlpOut)
    try reading(.aggregates, [finished]) { (record) throws in
      #expect(
        try Array(record.tensor("mean.mlp_out.3", shape: [5], of: Float.self))
          == sums.places[mlpOut]!.average(.mean).map { Float($0) })
      #expect(record.has("mean_se.mlp_out.3") && record.has("mean_halves.mlp_out.3"))
    }
  }

  @Test func samplesWithoutLoss() throws {
    var batches = RaggedBatch.examples(width: 2, seed: 1)
    batches[0].loss = nil
    let sums = try aggregated(batches, plain)
    #expect(sums.places[residPost]!.loss == 34 + 13 * 0.25 - 12)
    #expect(sums.places[residPost]!.predictions == batches[1...].reduce(0) { $0 + $1.predictions.reduce(0, +) })
  }

  // MARK: - Refusals

  private func refuses(_ message: String, _ body: () throws -> Void) {
    #expect(throws: Failure(.malformed, message), performing: body)
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func nonfiniteGradients(_ value: Float) throws {
    for (sample, position, dimension) in [(0, 2, 0), (4, 8, 36), (4, 3, 17)] {
      var batches = RaggedBatch.examples(width: 37, seed: 4)
      batches[4].places[mlpOut]![sample][position][dimension] = value
      refuses(
        "record 5: tensor grad.mlp_out.3: \(value) at sample \(batches[4].samples[sample]), position \(4 * position), "
          + "dimension \(dimension); --allow-nonfinite continues anyway"
      ) { _ = try aggregated(batches, plain) }
      let sums = try aggregated(batches, plain, allowsNonfinite: true)
      #expect(sums.places[mlpOut]!.average(.mean).map(\.isFinite) == (0..<37).map { $0 != dimension })
      #expect(sums.places[residPost]!.average(.mean).allSatisfy { $0.isFinite })
    }
  }

  @Test func nonfinitePartialSums() throws {
    var batches = RaggedBatch.examples(width: 3, seed: 4)
    batches[0].places[residPost]![0][0][2] = .nan
    let partial = try aggregated(batches, plain, allowsNonfinite: true).record()
    for allows in [false, true] {
      let sums = GradientSums(plain, allowsNonfinite: allows)
      let merge = { try reading(.aggregates, [partial]) { try sums.merge(partial: $0) } }
      if allows {
        #expect(throws: Never.self, performing: merge)
      } else {
        #expect { try merge() } throws: { error in
          "\(error)".hasPrefix("record 1: tensor sum")
            && "\(error)".hasSuffix("at dimension 2; --allow-nonfinite continues anyway")
        }
      }
    }
  }

  @Test func duplicateSamples() throws {
    let batches = RaggedBatch.examples(width: 2, seed: 1)
    refuses("record 7: sample 1 was aggregated already: is an input given twice?") {
      _ = try aggregated(batches + [batches[0]], plain)
    }
    let partial = try aggregated(Array(batches[2...]), plain).record()
    let sums = GradientSums(plain)
    refuses("record 2: sample 6 was aggregated already: is an input given twice?") {
      try reading(.aggregates, [partial, partial]) { try sums.merge(partial: $0) }
    }
  }

  /// The same number in two texts is two samples, also where sums are merged, in any order, and again.
  @Test func samplesOfSeveralTexts() throws {
    let texts = ["a", "b", "c"].map { TextIdentity(whole: nil, start: $0) }
    let batches = RaggedBatch.examples(width: 2, seed: 1)
    let whole = GradientSums(plain)
    for text in texts { try reading(.gradients, batches.map(\.record)) { try whole.add(gradients: $0, of: text) } }
    #expect(whole.places[residPost]!.samples.count == 39)
    let partials = try texts.map { text in
      let sums = GradientSums(plain)
      try reading(.gradients, batches.map(\.record)) { try sums.add(gradients: $0, of: text) }
      return sums.record(of: [text])
    }
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
      let two = GradientSums(plain)
      for text in order[..<2] {
        try reading(.aggregates, [partials[text]]) { try two.merge(partial: $0, of: [texts[text]]) }
      }
      let named = order[..<2].sorted().map { texts[$0] }
      let merged = GradientSums(plain)
      try reading(.aggregates, [partials[order[2]]]) { try merged.merge(partial: $0, of: [texts[order[2]]]) }
      let record = two.record(of: named)
      try reading(.aggregates, [record]) { (record) throws in
        #expect(
          try Array(record.tensor("samples.mlp_out.3", shape: [4, 2], of: Int64.self)) == [
            1, 7, 107, 114, 1, 7, 107, 114,
          ])
        #expect(try Array(record.tensor("texts.mlp_out.3", shape: [4], of: Int64.self)) == [0, 0, 1, 1])
        try merged.merge(partial: record, of: named)
      }
      #expect(merged.places[residPost]!.samples == whole.places[residPost]!.samples)
      for mode in AveragingMode.allCases {
        #expect(relativeL2(merged.places[mlpOut]!.average(mode), whole.places[mlpOut]!.average(mode)) < 1e-14)
      }
      refuses("record 1: sample 1 was aggregated already: is an input given twice?") {
        try reading(.aggregates, [partials[1]]) { try merged.merge(partial: $0, of: [texts[1]]) }
      }
      refuses("record 1: sample 1 was aggregated already: is an input given twice?") {
        try reading(.aggregates, [record]) { try merged.merge(partial: $0, of: named) }
      }
    }
  }

  @Test func textsOfOtherForms() throws {
    let texts = ["a", "b"].map { TextIdentity(whole: $0, start: nil) }
    let record = handmade(samples: [0, 1, 0, 1])
    let check = { (numbers: [Int64]?, message: String) -> Void in
      var record = record
      if let numbers { record.add("texts.mlp_out.0", numbers) }
      let sums = GradientSums(plain)
      refuses(message) { try reading(.aggregates, [record]) { try sums.merge(partial: $0, of: texts) } }
    }
    check(nil, "record 1: tensor texts.mlp_out.0 is missing")
    check([0, 1, 0], "record 1: tensor texts.mlp_out.0: expected I64 [2], found I64 [3]")
    check([0, 2], "record 1: texts.mlp_out.0: expected numbers from 0 to 1, found 2")
    check([0, -1], "record 1: texts.mlp_out.0: expected numbers from 0 to 1, found -1")
    check([1, 1], "record 1: sample 0 was aggregated already: is an input given twice?")
  }

  @Test func otherWidth() throws {
    let (a, b) = (RaggedBatch.examples(width: 2, seed: 1)[0], RaggedBatch.examples(width: 3, seed: 1)[1])
    #expect { _ = try aggregated([a, b], plain) } throws: { "\($0)".contains("expected 2 columns as before, found 3") }
  }

  @Test func gradientTensorsOfOtherForms() throws {
    let adding = { (name: String, values: [Float], shape: [Int]) in
      var record = RaggedBatch(width: 1, places: [mlpOut: [[[1]]]], predictions: [1], samples: [1]).record
      record.add(name, values, shape: shape)
      return record
    }
    let check = { (record: OutputRecord, message: String) -> Void in
      let sums = GradientSums(plain)
      refuses(message) { try reading(.gradients, [record]) { try sums.add(gradients: $0) } }
    }
    for name in ["grad.mlp_out.x", "grad.3", "grad.mlp_out.03", "grad.mlp_in.3"] {
      check(
        adding(name, [1], [1, 1]), "record 1: tensor \(name): expected a place such as mlp_out.11 after grad.")
    }
    check(
      adding("grad.mlp_out.1", [1, 2], [2, 1]),
      "record 1: tensor grad.mlp_out.1: expected F32 [1, any], found F32 [2, 1]")
    check(adding("grad.mlp_out.1", [1], [1]), "record 1: tensor grad.mlp_out.1: expected F32 [1, any], found F32 [1]")
    check(
      adding("grad.mlp_out.1", [], [1, 0]), "record 1: tensor grad.mlp_out.1: expected at least one column, found none")
    var none = OutputRecord()
    GradientBatch(cuPositions: [0, 1], position: [0], token: [0], sampleIndex: [0], predictions: [1]).add(to: &none)
    check(none, "record 1: expected tensors grad.PLACE, found none")
  }

  /// Sums of two dimensions, of one unit.
  private func handmade(
    weight: Double = 1, samples: [Int64] = [0, 1], positions: Int64 = 1, units: [Int64] = [0, 0],
    documents: [Int64] = [0, 0, 0, 0], openWeights: [Double] = [1], squares: [Double] = [1, 4]
  ) -> OutputRecord {
    var record = OutputRecord()
    for (sum, name) in [("sum", "mean"), ("sum_abs", "mean_abs")] {
      record.add("\(sum).mlp_out.0", [1.0, 2])
      record.add("\(name)_even.mlp_out.0", [1.0, 2])
      record.add("\(name)_squares.mlp_out.0", squares)
      record.add("\(name)_products.mlp_out.0", [1.0, 2])
      record.add("\(name)_open.mlp_out.0", [1.0, 2], shape: [1, 2])
    }
    record.add("weight.mlp_out.0", [weight])
    record.add("even_weight.mlp_out.0", [1.0])
    record.add("squared_weight.mlp_out.0", [1.0])
    record.add("units.mlp_out.0", units)
    record.add("open_documents.mlp_out.0", documents, shape: [documents.count / 4, 4])
    record.add("open_weights.mlp_out.0", openWeights)
    record.add("samples.mlp_out.0", samples, shape: [samples.count / 2, 2])
    record.add("positions.mlp_out.0", [positions])
    record.add("loss.mlp_out.0", [1.0])
    record.add("predictions.mlp_out.0", [Int64(1)])
    return record
  }

  @Test func aggregateTensorsOfOtherForms() throws {
    let check = { (records: [OutputRecord], message: String) -> Void in
      let sums = GradientSums(plain)
      refuses(message) { try reading(.aggregates, records) { try sums.merge(partial: $0) } }
    }
    let sums = GradientSums(plain)
    try reading(.aggregates, [handmade()]) { try sums.merge(partial: $0) }
    #expect(sums.places[Place(.mlpOut, 0)]!.average(.mean) == [1, 2])
    check([handmade(weight: .nan)], "record 1: tensor weight.mlp_out.0: expected a weight, found nan")
    check([handmade(weight: -1)], "record 1: tensor weight.mlp_out.0: expected a weight, found -1.0")
    check([handmade(samples: [5, 4])], "record 1: samples.mlp_out.0: expected ranges, found 5 to 4")
    check([handmade(samples: [-1, 4])], "record 1: samples.mlp_out.0: expected ranges, found -1 to 4")
    check([handmade(positions: -1)], "record 1: tensor positions.mlp_out.0: expected a count, found -1")
    check(
      [handmade(positions: .max), handmade(samples: [1, 2])],
      "record 2: tensor positions.mlp_out.0: expected a count, found 1")
    for units: [Int64] in [[-1, -1], [1, 2], [2, -1]] {
      check(
        [handmade(units: units)],
        "record 1: tensor units.mlp_out.0: expected two counts, found \(units[0]) and \(units[1])")
    }
    for documents: [Int64] in [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 3, 2], [0, 0, -1, 2], [0, 0, 0, .max]] {
      check(
        [handmade(documents: documents)],
        "record 1: tensor open_documents.mlp_out.0: expected a text, a document, its first and its last sample, found "
          + documents.map { "\($0)" }.joined(separator: ", "))
    }
    check(
      [handmade(openWeights: [-2])], "record 1: tensor open_weights.mlp_out.0: expected a weight, found -2.0")
    check([handmade(openWeights: [])], "record 1: tensor open_weights.mlp_out.0: expected F64 [1], found F64 [0]")
    check(
      [handmade(squares: [1, .infinity])],
      "record 1: tensor mean_squares.mlp_out.0: inf at dimension 1; --allow-nonfinite continues anyway")
    check([handmade(squares: [1])], "record 1: tensor mean_squares.mlp_out.0: expected F64 [2], found F64 [1]")
    check([OutputRecord()], "record 1: expected tensors weight.PLACE, found none")
  }
}
