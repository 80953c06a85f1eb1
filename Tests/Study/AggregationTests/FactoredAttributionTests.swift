import Aggregation
import SystemIO
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// Attributions by a decoder of more rows than are brought together, over more positions than are gathered, against a loop
/// in Double.
@Suite struct FactoredAttributionTests {
  private static let (width, features) = (19, 8500)
  private static let lengths = [400, 1, 500, 100]
  /// Active nearly everywhere.
  private static let often = [3, 8400]

  @Test(arguments: [false, true]) func manyRowsAndPositions(columnMajor: Bool) throws {
    let (D, F) = (Self.width, Self.features)
    var numbers = SeededNumbers(seed: 31)
    let (decoder, factors) = (numbers.floats(F * D), numbers.floats(F))
    let batches = Self.lengths.enumerated().map { index, length in
      var batch = RaggedBatch(
        width: D, places: [mlpOut: [(0..<length).map { _ in numbers.floats(D) }]], predictions: [length],
        samples: [Int64(index)], loss: nil)
      batch.areFeatures = true
      batch.activations[mlpOut] = [
        (0..<length).map { position in
          var row = [Float](repeating: 0, count: F)
          // Of some positions all: more pairs than are gathered, and then some of all features.
          for feature in length == 400 && position < 140
            ? Array(0..<F) : Self.often + (0..<5).map({ _ in Int.random(in: 0..<F, using: &numbers) })
          {
            row[feature] = numbers.floats(1)[0]
          }
          return row
        }
      ]
      return batch
    }
    var (signed, absolute) = ([Double](repeating: 0, count: F), [Double](repeating: 0, count: F))
    for batch in batches {
      for (g, row) in zip(batch.places[mlpOut]![0], batch.activations[mlpOut]![0]) {
        for f in 0..<F where row[f] != 0 {
          let product = (0..<D).reduce(0) { $0 + Double(decoder[f * D + $1]) * Double(g[$1]) }
          let attribution = Double(row[f]) * Double(factors[f]) * product
          signed[f] += attribution
          absolute[f] += abs(attribution)
        }
      }
    }
    let positions = Double(Self.lengths.reduce(0, +))
    let matrix = Self.matrix(decoder, columnMajor: columnMajor)
    let records = batches.map(\.record)
    // Few positions and pairs; few of the rows at a time; all at once, by one thread and by several.
    let budgets = [
      (GatheringBudget(gradientBytes: 400 * D * MemoryLayout<Float>.stride, pairs: 1 << 14), threads: 2),
      (GatheringBudget(rowBytes: 1), 2), (GatheringBudget(), 1), (GatheringBudget(), 3),
    ]
    let found = try budgets.map { budget, threads in
      let sums = GradientSums(
        AggregationChoices(
          quantities: [.attribution, .activation], modes: Set(AveragingMode.allCases), lossReduction: .sum,
          weighting: .position),
        budget: budget)
      let operations = try CPUOperations(threads: threads)
      sums.use(
        Basis(decoder: operations.makeMatrix(matrix), hostDecoder: matrix, factors: factors), for: mlpOut,
        operations: operations, team: ThreadTeam(size: threads))
      try reading(.gradients, records) { try sums.add(gradients: $0) }
      sums.finish()
      return sums
    }
    for (mode, expected) in [(AveragingMode.mean, signed), (.meanAbsolute, absolute)] {
      let average = found[0].places[mlpOut]!.average(.average(.attribution, mode))
      #expect(relativeL2(average, expected.map { $0 / positions }) < 1e-12)
    }
    let all = try found.map(tensors)
    #expect(all.dropFirst().allSatisfy { $0 == all[0] }, "how much is done at a time makes no difference")
  }

  /// Some rows, in any order and more than once.
  @Test(arguments: [false, true]) func rowsOfAMatrix(columnMajor: Bool) {
    var numbers = SeededNumbers(seed: 5)
    let values = numbers.floats(Self.features * Self.width)
    let cases: [[Int32]] = [
      [8499, 0, 17, 17, 450], [], Array(0..<21), Array(8489..<8500), [0, 1, 2, 7, 8, 9, 30, 31, 33, 35, 90],
      [5, 5, 5, 12, 11, 10, 9, 8], [8490, 8492, 8493, 8494, 8495, 8497, 8499], (0..<8500).filter { $0 % 3 != 1 },
    ]
    for chosen in cases {
      var found = [Float](repeating: .nan, count: chosen.count * Self.width)
      Self.matrix(values, columnMajor: columnMajor).copyRows(chosen, to: &found)
      #expect(found == chosen.flatMap { values[Int($0) * Self.width..<(Int($0) + 1) * Self.width] }, "\(chosen)")
    }
  }

  /// (features, width), with room between its lines.
  private static func matrix(_ values: [Float], columnMajor: Bool) -> Matrix {
    let (lines, length) = columnMajor ? (width, features) : (features, width)
    let buffer = AlignedBuffer(capacity: lines * (length + 3) * MemoryLayout<Float>.stride)
    let floats = buffer.address.assumingMemoryBound(to: Float.self)
    for f in 0..<features {
      for d in 0..<width {
        floats[columnMajor ? d * (length + 3) + f : f * (length + 3) + d] = values[f * width + d]
      }
    }
    return Matrix(
      rows: features, columns: width, isColumnMajor: columnMajor, leadingDimension: length + 3, type: .f32,
      address: buffer.address, owner: buffer)
  }
}
