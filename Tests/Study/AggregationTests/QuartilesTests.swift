import Aggregation
import Testing

@Suite struct QuartilesTests {
  @Test func equalNumPy() throws {
    // numpy.percentile([…], [25, 50, 75])
    for (values, expected) in [
      ([3, 1, 2, 10], [1.75, 2.5, 4.75]), ([5, -1, 2], [0.5, 2, 3.5]), ([7], [7, 7, 7]),
      ([0, 0, 0, 0, 8, 1], [0, 0, 0.75]),
    ] as [([Double], [Double])] {
      let found = try #require(Quartiles(values))
      #expect([found.lower, found.median, found.upper] == expected, "\(values)")
    }
  }

  @Test func whatIsNotFiniteIsLeftOut() {
    #expect(Quartiles([.nan, 1, .infinity, 3, 2]) == Quartiles([1, 2, 3]))
    #expect(Quartiles([]) == nil && Quartiles([.nan]) == nil)
    #expect(Quartiles([-1e308, 1.7e308])?.median.isFinite == true)
  }
}
