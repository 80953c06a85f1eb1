import Aggregation
import Testing

@Suite struct LargestMagnitudesTests {
  @Test(arguments: NumPyFixtures.names) func equalNumPy(name: String) throws {
    let expected = try NumPyFixtures.expected(name)
    #expect(indicesOfLargestMagnitudes(expected.values, count: 20) == expected.integers("top"))
  }

  @Test func shortAndLongListsAgree() {
    var random = SystemRandomNumberGenerator()
    let values = (0..<3000).map { _ in Double(Int.random(in: -900...900, using: &random)) }
    let long = indicesOfLargestMagnitudes(values, count: 2000)
    #expect(long.count == 2000)
    for count in [1, 2, 20, 256] {
      #expect(indicesOfLargestMagnitudes(values, count: count) == Array(long.prefix(count)))
    }
  }

  @Test func equalOnesInTheOrderOfTheirIndices() {
    #expect(indicesOfLargestMagnitudes([1, -3, 3, 2, -2], count: 4) == [1, 2, 3, 4])
  }

  @Test func passOverWhatIsNotFinite() {
    #expect(indicesOfLargestMagnitudes([.nan, .infinity, 0, -1, -.infinity], count: 9) == [3, 2])
    #expect(indicesOfLargestMagnitudes([], count: 3) == [])
    #expect(indicesOfLargestMagnitudes([1, 2], count: 0) == [])
  }
}
