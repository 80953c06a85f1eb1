import Aggregation
import SystemIO
import TensorStream
import TestSupport
import Testing

private let allQuantities = Set(Quantity.allCases)
private let bothModes = Set(AveragingMode.allCases)

/// Averages, standard errors and the agreement of halves, by their definitions in plain loops, and what merging must not
/// change.
@Suite struct StandardErrorTests {
  private static let choices = LossReduction.allCases.flatMap { reduction in
    Weighting.allCases.flatMap { weighting in
      IndependentUnit.allCases.map { unit in
        AggregationChoices(
          quantities: allQuantities, modes: bothModes, lossReduction: reduction, weighting: weighting,
          paddedPredictions: 15, unit: unit)
      }
    }
  }

  private struct Oracle {
    /// By unit y, [width], and b.
    var units: [Int64: (y: [Double], b: Double)] = [:]
    /// What position 0 of all samples has in Σ y, [width].
    var first: [Double] = []

    init(_ batches: [RaggedBatch], _ place: Place, _ measure: Measure, _ choices: AggregationChoices) {
      for batch in batches {
        let samples = batch.places[place]!
        let kept = samples.map { $0.indices.filter { 4 * $0 >= choices.firstPosition } }
        for (sample, rows) in samples.enumerated() where !kept[sample].isEmpty {
          let c: Double =
            switch choices.lossReduction {
            case .sum: 1
            case .padded: 1 / Double(choices.paddedPredictions!)
            case .sample: 1 / Double(max(batch.predictions[sample], 1))
            case .batch: 1 / Double(max(batch.predictions.reduce(0, +), 1))
            }
          let w: Double =
            switch choices.weighting {
            case .position: 1
            case .sample: 1 / Double(kept[sample].count)
            case .batch: 1 / Double(kept.reduce(0) { $0 + $1.count })
            }
          let number = choices.unit == .sample ? batch.samples[sample] : batch.documents[sample]
          for row in kept[sample] {
            let values = rows[row].indices.map { i -> Double in
              let g = Double(rows[row][i])
              let a = batch.activations.isEmpty ? 0 : Double(batch.activations[place]![sample][row][i])
              let x: Double =
                switch measure {
                case .average(.gradient, _): c * g
                case .average(.attribution, _): c * a * g
                case .average(.activation, _): a
                case .firing: a == 0 ? 0 : 1
                }
              return w * (measure.mode == .meanAbsolute ? abs(x) : x)
            }
            var unit = units[number] ?? (Array(repeating: 0, count: values.count), 0)
            unit.y = zip(unit.y, values).map { $0 + $1 }
            unit.b += w
            units[number] = unit
            if first.isEmpty { first = values.map { _ in 0 } }
            if row == 0 { first = zip(first, values).map { $0 + $1 } }
          }
        }
      }
    }

    private func sum(_ units: [(y: [Double], b: Double)], _ i: Int) -> Double { units.reduce(0) { $0 + $1.y[i] } }
    private func weight(_ units: [(y: [Double], b: Double)]) -> Double { units.reduce(0) { $0 + $1.b } }
    private var all: [(y: [Double], b: Double)] { units.sorted { $0.key < $1.key }.map(\.value) }

    func average(_ width: Int) -> [Double] { (0..<width).map { sum(all, $0) / weight(all) } }

    func firstShare(_ width: Int) -> [Double] { (0..<width).map { first[$0] / sum(all, $0) } }

    func standardError(_ width: Int) -> [Double] {
      let (U, m) = (Double(units.count), average(width))
      return (0..<width).map { i in
        let squares = all.reduce(0) { $0 + ($1.y[i] - m[i] * $1.b) * ($1.y[i] - m[i] * $1.b) }
        return (U / (U - 1) * squares).squareRoot() / weight(all)
      }
    }

    func correlation(_ width: Int) -> Double {
      let halves = [true, false].map { isEven in
        let half = units.filter { ($0.key % 2 == 0) == isEven }.map(\.value)
        return (0..<width).map { sum(half, $0) / weight(half) }
      }
      let deviations = halves.map { half in half.map { $0 - half.reduce(0, +) / Double(width) } }
      func product(_ a: Int, _ b: Int) -> Double { zip(deviations[a], deviations[b]).reduce(0) { $0 + $1.0 * $1.1 } }
      return product(0, 1) / (product(0, 0) * product(1, 1)).squareRoot()
    }
  }

  private func expectOracle(
    _ sums: GradientSums, _ batches: [RaggedBatch], _ choices: AggregationChoices, _ what: String = ""
  ) throws {
    for (place, found) in sums.places {
      for measure in found.measures.map(\.measure) {
        let oracle = Oracle(batches, place, measure, choices)
        let (estimate, width) = (found.estimate(measure), found.width)
        let name = "\(measure.name).\(place) \(what)"
        #expect(estimate.units == oracle.units.count, "\(name)")
        #expect(relativeL2(estimate.average, oracle.average(width)) < 1e-12, "\(name)")
        #expect(relativeL2(try #require(estimate.standardError), oracle.standardError(width)) < 1e-10, "\(name)")
        let correlation = try #require(estimate.reliability).correlation
        #expect(abs(correlation - oracle.correlation(width)) < 1e-10, "\(name)")
        guard measure == .average(.attribution, .meanAbsolute), choices.firstPosition == 0 else {
          #expect(estimate.firstShare == nil, "\(name)")
          continue
        }
        let share = try #require(estimate.firstShare)
        // A feature may be active at position 0 never, or nowhere else.
        #expect(share.allSatisfy { 0 <= $0 && $0 <= 1 } && share.contains { 0 < $0 && $0 < 1 }, "\(name): \(share)")
        #expect(relativeL2(share, oracle.firstShare(width)) < 1e-12, "\(name)")
      }
    }
  }

  @Test(arguments: choices, [true, false])
  func everyMeasureAgainstTheDefinition(_ choices: AggregationChoices, areFeatures: Bool) throws {
    for firstPosition in [0, 3, 4] {
      var choices = choices
      choices.firstPosition = firstPosition
      let batches = RaggedBatch.examples(width: 7, seed: 21, areFeatures: areFeatures)
      let sums = try aggregated(batches, choices)
      #expect(sums.places[mlpOut]!.measures.count == (areFeatures ? 7 : 6))
      try expectOracle(sums, batches, choices, "from \(firstPosition)")
      let kept = batches.flatMap { $0.places[mlpOut]! }.reduce(0) { $0 + max($1.count - (firstPosition + 3) / 4, 0) }
      #expect(sums.places[mlpOut]!.positions == kept)
    }
  }

  /// Any cut of the samples into parts, merged in any order and in any pairs, is one pass: documents that were cut are
  /// one again, and others are not open for ever.
  @Test(arguments: [Weighting.position, .sample], IndependentUnit.allCases)
  func anyCutAndAnyOrderAreOnePass(_ weighting: Weighting, _ unit: IndependentUnit) throws {
    let choices = AggregationChoices(
      quantities: allQuantities, modes: bothModes, lossReduction: .sample, weighting: weighting, unit: unit)
    let batches = RaggedBatch.examples(width: 5, seed: 3, areFeatures: true).flatMap(\.apart)
    let whole = try tensors(of: aggregated(batches, choices))
    var numbers = SeededNumbers(seed: 9)
    for round in 0..<20 {
      var rest = round % 2 == 0 ? batches : batches.shuffled(using: &numbers)
      var parts: [GradientSums] = []
      while !rest.isEmpty {
        let count = Int.random(in: 1...min(6, rest.count), using: &numbers)
        parts.append(try aggregated(Array(rest.prefix(count)), choices))
        rest.removeFirst(count)
      }
      parts.shuffle(using: &numbers)
      while parts.count > 1 {
        let part = parts.remove(at: Int.random(in: parts.indices, using: &numbers))
        let into = parts[Int.random(in: parts.indices, using: &numbers)]
        try reading(.aggregates, [part.record()]) { try into.merge(partial: $0) }
      }
      let found = try tensors(of: parts[0])
      #expect(found.keys.sorted() == whole.keys.sorted())
      for (name, expected) in whole {
        #expect(found[name]!.count == expected.count && relativeL2(found[name]!, expected) < 1e-12, "\(name)")
      }
      try expectOracle(parts[0], batches, choices, "round \(round)")
    }
  }

  /// However few pairs of a feature and a position are added up at a time, and whatever the order in which units begin,
  /// go on and end among them, sums are the same to the bit.
  @Test(arguments: IndependentUnit.allCases) func howMuchIsGatheredChangesNothing(_ unit: IndependentUnit) throws {
    let choices = AggregationChoices(
      quantities: allQuantities, modes: bothModes, lossReduction: .sample, weighting: .sample, unit: unit)
    let batches = RaggedBatch.examples(width: 9, seed: 8, areFeatures: true).flatMap(\.apart)
    var numbers = SeededNumbers(seed: 10)
    for round in 0..<8 {
      let ordered = round == 0 ? batches : batches.shuffled(using: &numbers)
      let together = try aggregated(ordered, choices)
      try expectOracle(together, batches, choices, "round \(round)")
      for pairs in [1, 8, 60] {
        let few = try aggregated(ordered, choices, budget: GatheringBudget(pairs: pairs))
        #expect(try tensors(of: few) == tensors(of: together), "\(pairs) pairs, round \(round)")
      }
    }
  }

  /// Only what another part may go on with is kept apart: of samples 1 to 6 and 107 to 113 the documents at the four ends.
  @Test func openDocumentsAreThoseAtTheEnds() throws {
    let batches = RaggedBatch.examples(width: 2, seed: 3).flatMap(\.apart)
    let choices = AggregationChoices(modes: [.mean], lossReduction: .sum, weighting: .position)
    try reading(.aggregates, [aggregated(batches, choices).record()]) { (record) throws in
      let open = try Array(record.tensor("open_documents.mlp_out.3", shape: [4, 4], of: Int64.self))
      #expect(open == [0, 0, 1, 2, 0, 2, 5, 6, 0, 42, 107, 107, 0, 45, 113, 113])
      #expect(try Array(record.tensor("units.mlp_out.3", shape: [2], of: Int64.self))[0] == 3)
    }
    var samples = choices
    samples.unit = .sample
    try reading(.aggregates, [aggregated(batches, samples).record()]) { (record) throws in
      #expect(try record.tensor("open_documents.mlp_out.3", shape: [0, 4], of: Int64.self).isEmpty)
    }
  }

  /// What begins with the text's first sample has nothing before it.
  @Test func theFirstDocumentOfATextIsNotOpen() throws {
    let batches = (0..<5).map { sample in
      RaggedBatch(
        width: 1, places: [mlpOut: [[[Float(sample)]]]], predictions: [1], samples: [Int64(sample)], loss: nil)
    }
    let choices = AggregationChoices(modes: [.mean], lossReduction: .sum, weighting: .position)
    try reading(.aggregates, [aggregated(batches, choices).record()]) { (record) throws in
      #expect(try Array(record.tensor("open_documents.mlp_out.3", shape: [1, 4], of: Int64.self)) == [0, 1, 3, 4])
    }
  }

  /// Sums come back to the bit, and nothing merged into them changes nothing.
  @Test(arguments: IndependentUnit.allCases) func tensorsAreReadAgain(_ unit: IndependentUnit) throws {
    let choices = AggregationChoices(
      quantities: allQuantities, modes: bothModes, lossReduction: .padded, weighting: .batch, paddedPredictions: 6,
      unit: unit)
    let sums = try aggregated(RaggedBatch.examples(width: 9, seed: 6, areFeatures: true), choices)
    let again = GradientSums(choices)
    try reading(.aggregates, [sums.record()]) { try again.merge(partial: $0) }
    #expect(try tensors(of: again) == tensors(of: sums))
    let none = RaggedBatch(width: 9, places: [mlpOut: [], residPost: []], predictions: [], samples: [], loss: [])
    var nothing = none
    (nothing.areFeatures, nothing.activations) = (true, [mlpOut: [], residPost: []])
    try reading(.gradients, [nothing.record]) { try again.add(gradients: $0) }
    again.finish()
    #expect(try tensors(of: again) == tensors(of: sums))
  }

  /// Position 0 is found wherever its row stands, and a sample that lacks it adds nothing.
  @Test(arguments: [false, true]) func positionZeroAnywhere(areFeatures: Bool) throws {
    let choices = AggregationChoices(
      quantities: [.attribution], modes: [.meanAbsolute], lossReduction: .sum, weighting: .position, unit: .sample)
    var record = OutputRecord()
    GradientBatch(
      cuPositions: [0, 3, 5], position: [4, 0, 8, 4, 8], token: [0, 0, 0, 0, 0], sampleIndex: [0, 1],
      predictions: [9, 9]
    ).add(to: &record)
    record.add("grad.mlp_out.3", [1, 2, -3, 4, 5, 6, 7, 8, -9, 10] as [Float], shape: [5, 2])
    if areFeatures {
      record.add("cu_active.mlp_out.3", [0, 1, 3, 3, 4, 5] as [Int64])
      record.add("feature.mlp_out.3", [0, 0, 1, 1, 0] as [Int32])
      record.add("value.mlp_out.3", [2, 1, 0.5, 1, 2] as [Float])
    } else {
      record.add("act.mlp_out.3", [2, 0, 1, 0.5, 0, 0, 0, 1, 2, 0] as [Float], shape: [5, 2])
    }
    let sums = GradientSums(choices)
    try reading(.gradients, [record]) { try sums.add(gradients: $0) }
    sums.finish()
    // 1·2, |−3|·1 at position 0, |−9|·2; 4·0.5 there, 8·1.
    #expect(
      sums.places[mlpOut]!.estimate(.average(.attribution, .meanAbsolute)).firstShare == [3 / 23.0, 2 / 10.0])
  }

  @Test func oneUnitHasNoStandardError() throws {
    let choices = AggregationChoices(modes: [.mean], lossReduction: .sum, weighting: .position, unit: .sample)
    func batch(_ sample: Int64, _ rows: [[Float]]) -> RaggedBatch {
      RaggedBatch(width: 2, places: [mlpOut: [rows]], predictions: [3], samples: [Int64(sample)], loss: nil)
    }
    func estimate(_ batches: [RaggedBatch]) throws -> Estimate {
      try aggregated(batches, choices).places[mlpOut]!.estimate(.average(.gradient, .mean))
    }
    let one = try estimate([batch(0, [[1, 2], [3, 4]]), batch(1, [])])
    #expect(one.average == [2, 3] && one.standardError == nil && one.reliability == nil && one.units == 1)
    let two = try estimate([batch(0, [[1, 2], [3, 4]]), batch(2, [[2, 3]])])
    // Both are even, so that there are no halves; both agree on the first average.
    #expect(two.standardError == [0, 0] && two.reliability == nil && two.units == 2)
    // y = 2 and 6, b = 1, m = 4: √(2/1 · (2² + 2²)) / 2.
    let spread = try estimate([batch(0, [[2, 0]]), batch(1, [[6, 0]])])
    #expect(spread.average == [4, 0] && spread.standardError == [2, 0])
    #expect(spread.reliability == Reliability(correlation: 1, overlap: 2, units: 2))
  }

  @Test func reliability() {
    let some = Reliability(correlation: 0.5, overlap: 4, units: 12)
    #expect(abs(some.ofAll - 2 / 3.0) < 1e-15)
    // k times as many units have k·R/(1 + (k − 1)·R), which is 0.9 for k = 4.5.
    #expect(abs(some.unitsForNineTenths - 54) < 1e-12)
    #expect(Reliability(correlation: 0, overlap: 0, units: 3).unitsForNineTenths == .infinity)
    #expect(Reliability(correlation: -0.5, overlap: 0, units: 3).unitsForNineTenths == .infinity)
  }

  /// Where units hardly differ, the squares all but cancel.
  @Test func aSpreadOfAThousandthIsKept() throws {
    var numbers = SeededNumbers(seed: 2)
    let batches = (0..<500).map { sample in
      let value = 1000 + Float.random(in: -1...1, using: &numbers)
      return RaggedBatch(
        width: 1, places: [mlpOut: [[[value], [value]]]], predictions: [1], samples: [Int64(sample)], loss: nil)
    }
    for unit in IndependentUnit.allCases {
      let choices = AggregationChoices(modes: [.mean], lossReduction: .sum, weighting: .position, unit: unit)
      let oracle = Oracle(batches, mlpOut, .average(.gradient, .mean), choices)
      let found = try aggregated(batches, choices).places[mlpOut]!.estimate(.average(.gradient, .mean))
      #expect(relativeL2(try #require(found.standardError), oracle.standardError(1)) < 1e-8)
    }
  }

  @Test func whatIsAskedForMustBeThere() throws {
    let plain = RaggedBatch.examples(width: 2, seed: 1)
    let choices = AggregationChoices(
      quantities: [.attribution], modes: [.mean], lossReduction: .sum, weighting: .position)
    #expect(
      throws: Failure(
        .malformed,
        "record 1: --quantity attribution: expected the activations at mlp_out.3, which sae-grad writes, and act-grad "
          + "--with-activations, found none")
    ) { _ = try aggregated(plain, choices) }
    let (dense, active) = (
      RaggedBatch.examples(width: 2, seed: 1, areFeatures: false)[0],
      RaggedBatch.examples(width: 2, seed: 1, areFeatures: true)[1]
    )
    #expect(
      throws: Failure(.malformed, "record 2: mlp_out.3: expected activations as before, found the other")
    ) { _ = try aggregated([dense, active], choices) }
    var wrong = RaggedBatch.examples(width: 2, seed: 1, areFeatures: true)
    wrong[0].activations[mlpOut]![0][1][1] = .nan
    #expect(
      throws: Failure(
        .malformed,
        "record 1: tensor value.mlp_out.3: nan at sample 1, position 4, dimension 1; --allow-nonfinite continues anyway"
      )
    ) { _ = try aggregated(wrong, choices) }
  }

  /// No two tensors of a place have one name.
  @Test func names() throws {
    let choices = AggregationChoices(
      quantities: allQuantities, modes: bothModes, lossReduction: .sum, weighting: .position)
    let sums = try aggregated(RaggedBatch.examples(width: 3, seed: 1, areFeatures: true), choices)
    var record = sums.record()
    for measure in Measure.all { sums.places[mlpOut]!.estimate(measure).write(to: &record, at: mlpOut) }
    try reading(.aggregates, [record]) { (record) throws in
      #expect(record.header.tensors.count == 2 * (7 * 5 + 11) + 7 * 3 + 1)
    }
    for quantities in [[.gradient], [.attribution, .activation], allQuantities] as [Set<Quantity>] {
      let choices = AggregationChoices(
        quantities: quantities, modes: [.mean], lossReduction: .sum, weighting: .position)
      #expect(AggregationChoices.quantities(named: choices.quantityNames) == quantities)
    }
    #expect(AggregationChoices.quantities(named: "gradient,") == nil)
  }

  @Test func modesAreFoundByEachOfTheirNames() {
    for mode in AveragingMode.allCases {
      #expect(AveragingMode(\.flag, mode.names.flag) == mode)
      #expect(AveragingMode(\.file, mode.names.file) == mode)
      #expect(AveragingMode(\.sum, mode.names.sum) == mode)
      #expect(AveragingMode(\.average, mode.names.average) == mode)
    }
    #expect(AveragingMode(\.flag, "median") == nil)
    #expect(AveragingMode(\.average, AveragingMode.mean.names.sum) == nil)
  }
}
