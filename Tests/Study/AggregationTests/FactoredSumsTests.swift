import Aggregation
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// Rows that a decoder multiplies feed the statistics with what the multiplied rows would.
@Suite struct FactoredSumsTests {
  private static let (width, features) = (6, 11)
  /// (features, width), and a factor of either sign for each feature.
  private static let (decoder, factors) = {
    var numbers = SeededNumbers(seed: 77)
    return (numbers.floats(features * width), numbers.floats(features))
  }()

  private func sums(
    _ batches: [RaggedBatch], _ choices: AggregationChoices, _ statistics: [any Statistic.Type], isFactored: Bool
  ) throws -> GradientSums {
    let sums = GradientSums(choices, statistics: statistics)
    if isFactored {
      let operations = try CPUOperations(threads: 1)
      for place in [mlpOut, residPost] {
        let decoder = operations.makeTensor(rows: Self.features, columns: Self.width)
        operations.upload(decoder, from: Self.decoder)
        sums.use(Basis(decoder: Matrix(decoder), factors: Self.factors), for: place, operations: operations)
      }
    }
    try reading(.gradients, batches.map(\.record)) { try sums.add(gradients: $0) }
    sums.finishFactored()
    return sums
  }

  /// The same batches with their rows multiplied out.
  private func multiplied(_ batches: [RaggedBatch]) -> [RaggedBatch] {
    batches.map { batch in
      var batch = batch
      batch.width = Self.features
      batch.places = batch.places.mapValues { samples in
        samples.map { rows in
          rows.map { g in
            (0..<Self.features).map { feature in
              let row = Self.decoder[feature * Self.width..<(feature + 1) * Self.width]
              return Float(Double(Self.factors[feature]) * zip(row, g).reduce(0) { $0 + Double($1.0) * Double($1.1) })
            }
          }
        }
      }
      return batch
    }
  }

  @Test(arguments: LossReduction.allCases, Weighting.allCases)
  func sumsAndUnitsAreThoseOfTheMultipliedRows(_ reduction: LossReduction, _ weighting: Weighting) throws {
    let batches = RaggedBatch.examples(width: Self.width, seed: 8)
    for modes in [[.mean], [.meanAbsolute], Set(AveragingMode.allCases)] {
      let choices = AggregationChoices(
        modes: modes, lossReduction: reduction, weighting: weighting, paddedPredictions: 15)
      for statistics in [GradientSums.statistics, GradientSums.statistics + [UnitSquares.self]] {
        let factored = try sums(batches, choices, statistics, isFactored: true)
        let dense = try sums(multiplied(batches), choices, statistics, isFactored: false)
        #expect(factored.places.keys.sorted() == [mlpOut, residPost])
        for (place, expected) in dense.places {
          let found = try #require(factored.places[place])
          #expect(found.width == Self.features && found.weight == expected.weight)
          #expect(found.statistics.count == modes.count * statistics.count)
          for (one, other) in zip(found.statistics, expected.statistics) {
            #expect(one.mode == other.mode)
            for ((value, numbers), (_, expected)) in zip(one.tensors, other.tensors) {
              #expect(relativeL2(numbers, expected) < 1e-6, "\(value.rawValue).\(place)")
            }
          }
        }
      }
    }
  }

  /// Units are the samples, each with all of its rows and no others.
  @Test(arguments: Weighting.allCases) func squaresOfUnits(_ weighting: Weighting) throws {
    let batches = RaggedBatch.examples(width: Self.width, seed: 9)
    let choices = AggregationChoices(modes: [.mean], lossReduction: .sum, weighting: weighting)
    for isFactored in [false, true] {
      let rows = isFactored ? multiplied(batches) : batches
      let found = try sums(batches, choices, [WeightedSum.self, UnitSquares.self], isFactored: isFactored)
      var expected = [Double](repeating: 0, count: rows[0].width)
      for batch in rows {
        let all = batch.places[mlpOut]!.reduce(0) { $0 + $1.count }
        for sample in batch.places[mlpOut]! where !sample.isEmpty {
          let w =
            switch weighting {
            case .position: 1.0
            case .sample: 1 / Double(sample.count)
            case .batch: 1 / Double(all)
            }
          for i in expected.indices {
            let y = sample.reduce(0) { $0 + w * Double($1[i]) }
            expected[i] += y * y
          }
        }
      }
      let tensors = found.places[mlpOut]!.statistics.flatMap(\.tensors)
      let squares = try #require(tensors.first { $0.value == UnitSquares.squares(.mean) }).numbers
      #expect(relativeL2(squares, expected) < 1e-6)
    }
  }

  /// What a statistic holds goes through aggregates, whichever there are.
  @Test func partialsOfSeveralStatistics() throws {
    let batches = RaggedBatch.examples(width: Self.width, seed: 10)
    let choices = AggregationChoices(modes: [.mean, .meanAbsolute], lossReduction: .sample, weighting: .sample)
    let statistics: [any Statistic.Type] = [WeightedSum.self, UnitSquares.self]
    let whole = try sums(batches, choices, statistics, isFactored: true)
    let merged = GradientSums(choices, statistics: statistics)
    for part in [batches[..<1], batches[1..<4], batches[4...]] {
      let partial = try sums(Array(part), choices, statistics, isFactored: true).record(finished: false)
      try reading(.aggregates, [partial]) { try merged.merge(partial: $0) }
    }
    for (place, expected) in whole.places {
      for (one, other) in zip(merged.places[place]!.statistics, expected.statistics) {
        for ((value, numbers), (_, expected)) in zip(one.tensors, other.tensors) {
          #expect(relativeL2(numbers, expected) < 1e-6, "\(value.rawValue).\(place)")
        }
      }
    }
  }
}
