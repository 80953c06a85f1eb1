import GradientPasses
import TestSupport
import Testing

@Suite struct EffectStatisticsTests {
  @Test func meansAndStandardErrors() {
    var mean = SampleMean()
    #expect(mean.standardError == nil)
    // An offset that the sum of squares would not survive.
    for value in [4.0, 7, 13, 16] { mean.add(1e9 + value) }
    #expect(mean.count == 4 && mean.mean == 1e9 + 10)
    #expect(abs(mean.standardError! - (30.0 / 4).squareRoot()) < 1e-6)
  }

  /// The nearest in firing, at random, and never the chosen ones or those that never fire.
  @Test func randomFeaturesFireAlike() {
    // Feature i fires i / 10 times: ten of each firing.
    let firing = (0..<1000).map { $0 / 10 }
    let chosen = [505, 507, 42]
    let found = randomFeatures(30, like: chosen, firing: firing, seed: 1)
    #expect(found.count == 30 && Set(found).count == 30 && Set(found).isDisjoint(with: chosen))
    for (number, feature) in found.enumerated() {
      #expect(abs(firing[feature] - firing[chosen[number % 3]]) <= 2, "\(feature)")
    }
    #expect(found == randomFeatures(30, like: chosen, firing: firing, seed: 1))
    #expect(found.prefix(10).elementsEqual(randomFeatures(10, like: chosen, firing: firing, seed: 1)))
    #expect(found != randomFeatures(30, like: chosen, firing: firing, seed: 2))
    // As many as fire.
    #expect(Set(randomFeatures(9, like: [0], firing: [3, 0, 2, 1], seed: 5)) == [2, 3])
    // Chance, not the order: every one of ten alike is taken first by some seed.
    let first = Set((0..<200).map { randomFeatures(1, like: [0], firing: Array(repeating: 1, count: 11), seed: $0)[0] })
    #expect(first == Set(1...10))
  }
}
