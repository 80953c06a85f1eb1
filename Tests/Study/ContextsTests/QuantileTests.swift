import Aggregation
import Contexts
import TensorStream
import TestSupport
import Testing

/// Contexts drawn from parts of the range.
@Suite struct QuantileTests {
  private func choices(
    _ quantiles: Int, _ perQuantile: Int, seed: UInt64 = 0, repeats: Bool = true
  ) -> ContextChoices {
    ContextChoices(
      .activation, count: 1, repeatsSamples: repeats, window: 1,
      draw: .init(quantiles: quantiles, perQuantile: perQuantile, seed: seed))
  }

  /// One sample of many positions, whose activation at feature 0 is the position's number in `order`.
  private func stream(_ order: [Int]) -> GridStream {
    var stream = GridStream(seed: 1, recordCount: 0)
    stream.records = order.enumerated().map { index, value in
      [
        [
          GridStream.Row(
            sample: Int64(index), position: 0, token: 0, predictions: 1, gradients: [1, 1, 1, 1, 1],
            activations: [Float(value), 0, 0, 0, 1])
        ]
      ]
    }
    return stream
  }

  /// The numbers from 1 to `count` in an order of chance, the same in every run.
  private func shuffled(_ count: Int) -> [Int] {
    var numbers = SeededNumbers(seed: 17)
    return (1...count).shuffled(using: &numbers)
  }

  private func drawn(_ stream: GridStream, _ choices: ContextChoices) throws -> [[Float]] {
    let contexts = try search(stream.bytes(), [0], choices)[0].contexts.filter { $0.quantile != nil }
    return (1...choices.draw!.quantiles).map { quantile in
      let own = contexts.filter { $0.quantile == quantile }
      #expect(own.map(\.rank) == own.indices.map { $0 + 1 })
      return own.map { $0.context.activation! }
    }
  }

  /// Where there are no more positions than are sampled, the parts are exact.
  @Test func fewPositions() throws {
    let parts = try drawn(stream(shuffled(40)), choices(4, 3))
    for (part, values) in parts.enumerated() {
      #expect(values.count == 3 && values == values.sorted(by: >))
      #expect(values.allSatisfy { ((40 - 10 * Float(part + 1) + 1)...(40 - 10 * Float(part))).contains($0) })
    }
    // Fewer than are asked for.
    #expect(try drawn(stream([3, 0, 1]), choices(2, 5)) == [[3], [1]])
    #expect(try drawn(stream([0, 2]), choices(3, 1)) == [[], [], [2]])
  }

  /// A part's contexts come from about that part of all positions, and another seed draws others.
  @Test func manyPositions() throws {
    let stream = stream(shuffled(4000))
    var means = [Float](repeating: 0, count: 5)
    for seed in 0..<8 as Range<UInt64> {
      let parts = try drawn(stream, choices(5, 4, seed: seed))
      for (part, values) in parts.enumerated() {
        #expect(values.count == 4)
        let middle = 4000 * (4.5 - Float(part)) / 5
        #expect(values.allSatisfy { abs($0 - middle) < 400 + 600 })
        means[part] += values.reduce(0, +) / 4 / 8
      }
    }
    for (part, mean) in means.enumerated() { #expect(abs(mean - 4000 * (4.5 - Float(part)) / 5) < 200) }
    #expect(try drawn(stream, choices(5, 4, seed: 1)) != drawn(stream, choices(5, 4, seed: 2)))
  }

  /// The draw is of samples and positions, not of the order in which they come.
  @Test func orderChangesNothing() throws {
    var numbers = SeededNumbers(seed: 21)
    var stream = GridStream(seed: 3, recordCount: 60)
    for repeats in [false, true] {
      let asked = choices(3, 4, seed: 5, repeats: repeats)
      func positions() throws -> [[Int64]] {
        try search(stream.bytes(.active), [2, 0], asked).flatMap { found in
          found.contexts.map {
            [Int64(found.feature.index), Int64($0.quantile ?? 0), $0.context.sample, Int64($0.context.position)]
          }
        }
      }
      let before = try positions()
      stream.records.shuffle(using: &numbers)
      #expect(try positions() == before && before.count > 20)
      guard !repeats else { continue }
      for feature in [0, 2] as [Int64] {
        let samples = before.filter { $0[0] == feature && $0[1] > 0 }.map { $0[2] }
        #expect(Set(samples).count == samples.count)
      }
    }
  }
}
