import Aggregation
import SystemIO
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// Rows that a decoder multiplies come to the sums that the multiplied rows would.
@Suite struct FactoredSumsTests {
  private static let (width, features) = (6, 11)
  /// (features, width), and a factor of either sign for each feature.
  private static let (decoder, factors) = {
    var numbers = SeededNumbers(seed: 77)
    return (numbers.floats(features * width), numbers.floats(features))
  }()

  private func basis(columnMajor: Bool, _ operations: any TensorOperations) -> Basis {
    let buffer = AlignedBuffer(capacity: Self.decoder.count * MemoryLayout<Float>.stride)
    let floats = buffer.address.assumingMemoryBound(to: Float.self)
    for f in 0..<Self.features {
      for d in 0..<Self.width {
        floats[columnMajor ? d * Self.features + f : f * Self.width + d] = Self.decoder[f * Self.width + d]
      }
    }
    let matrix = Matrix(
      rows: Self.features, columns: Self.width, isColumnMajor: columnMajor,
      leadingDimension: columnMajor ? Self.features : Self.width, type: .f32, address: buffer.address, owner: buffer)
    return Basis(decoder: operations.makeMatrix(matrix), hostDecoder: matrix, factors: Self.factors)
  }

  private func sums(
    _ batches: [RaggedBatch], _ choices: AggregationChoices, columnMajor: Bool? = nil
  ) throws -> GradientSums {
    let sums = GradientSums(choices)
    if let columnMajor {
      let operations = try CPUOperations(threads: 2)
      for place in [mlpOut, residPost] {
        sums.use(
          basis(columnMajor: columnMajor, operations), for: place, operations: operations, team: ThreadTeam(size: 2))
      }
    }
    try reading(.gradients, batches.map(\.record)) { try sums.add(gradients: $0) }
    sums.finish()
    return sums
  }

  /// The features of `batches`, whose rows are not multiplied yet, and the same batches with their rows multiplied out.
  private func examples(seed: UInt64) -> (factored: [RaggedBatch], multiplied: [RaggedBatch]) {
    let rows = RaggedBatch.examples(width: Self.width, seed: seed)
    let features = RaggedBatch.examples(width: Self.features, seed: seed + 1, areFeatures: true)
    let factored = zip(rows, features).map { rows, features in
      var batch = rows
      batch.activations = features.activations
      batch.areFeatures = true
      return batch
    }
    let multiplied = factored.map { batch in
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
    return (factored, multiplied)
  }

  private func expectSame(_ found: GradientSums, _ expected: GradientSums) throws {
    let (found, expected) = (try tensors(of: found), try tensors(of: expected))
    #expect(found.keys.sorted() == expected.keys.sorted() && found.count == 2 * (7 * 5 + 11))
    for (name, numbers) in expected {
      #expect(found[name]!.count == numbers.count && relativeL2(found[name]!, numbers) < 1e-6, "\(name)")
    }
  }

  @Test(arguments: LossReduction.allCases, Weighting.allCases)
  func sumsAreThoseOfTheMultipliedRows(_ reduction: LossReduction, _ weighting: Weighting) throws {
    let (factored, multiplied) = examples(seed: 8)
    for unit in IndependentUnit.allCases {
      let choices = AggregationChoices(
        quantities: Set(Quantity.allCases), modes: Set(AveragingMode.allCases), lossReduction: reduction,
        weighting: weighting, paddedPredictions: 15, unit: unit)
      let expected = try sums(multiplied, choices)
      for columnMajor in [false, true] {
        try expectSame(try sums(factored, choices, columnMajor: columnMajor), expected)
        // Whatever came before the sums are read does so once.
        let again = try sums(factored, choices, columnMajor: columnMajor)
        again.finish()
        try expectSame(again, expected)
      }
    }
  }

  /// Samples of hundreds of positions, so that products hold some of a unit, one unit and several.
  @Test(arguments: IndependentUnit.allCases) func unitsAcrossProducts(_ unit: IndependentUnit) throws {
    var numbers = SeededNumbers(seed: 4)
    let lengths = [700, 1, 300, 0, 511, 512, 2, 90, 1300, 30]
    let batches = lengths.enumerated().map { index, length in
      let rows = (0..<length).map { _ in numbers.floats(Self.width) }
      return RaggedBatch(
        width: Self.width, places: [mlpOut: [rows]], predictions: [length], samples: [Int64(index)], loss: nil)
    }
    let multiplied = batches.map { batch in
      var batch = batch
      batch.width = Self.features
      batch.places[mlpOut] = [
        batch.places[mlpOut]![0].map { g in
          (0..<Self.features).map { f in
            let row = Self.decoder[f * Self.width..<(f + 1) * Self.width]
            return Float(Double(Self.factors[f]) * zip(row, g).reduce(0) { $0 + Double($1.0) * Double($1.1) })
          }
        }
      ]
      return batch
    }
    let choices = AggregationChoices(
      modes: Set(AveragingMode.allCases), lossReduction: .sum, weighting: .position, unit: unit)
    let (found, expected) = (
      try tensors(of: sums(batches, choices, columnMajor: true)), try tensors(of: sums(multiplied, choices))
    )
    #expect(found.keys.sorted() == expected.keys.sorted())
    for (name, numbers) in expected { #expect(relativeL2(found[name]!, numbers) < 1e-6, "\(name)") }
  }

  /// Of parts that are merged, whose documents are cut.
  @Test func partials() throws {
    let (factored, multiplied) = examples(seed: 10)
    let choices = AggregationChoices(
      quantities: Set(Quantity.allCases), modes: Set(AveragingMode.allCases), lossReduction: .sample, weighting: .sample
    )
    let merged = GradientSums(choices)
    for part in [factored[..<1], factored[1..<4], factored[4...]] {
      let partial = try sums(Array(part), choices, columnMajor: true).record()
      try reading(.aggregates, [partial]) { try merged.merge(partial: $0) }
    }
    try expectSame(merged, try sums(multiplied, choices))
  }
}
