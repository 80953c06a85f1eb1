import GradientStatistics
import JSON
import Testing

@Suite struct HistogramTests {
  @Test(arguments: NumPyFixtures.names, [1, 7, 50, 100]) func equalsNumPy(name: String, bins: Int) throws {
    let expected = try NumPyFixtures.expected(name)
    let numPy = expected["histograms"][String(bins)]!
    let histogram = Histogram(
      expected.values, bins: bins, precision: name.hasSuffix("f4") ? .single : .double)
    #expect(histogram.counts == numPy["counts"]!.elements!.map { $0.int! })
    #expect(histogram.edges == numPy["edges"]!.elements!.map { $0.number! })
  }

  /// The definition, with none of the arithmetic: every value is in the one bin whose edges enclose it.
  @Test(arguments: [1e-300, 1e-6, 1, 1e300]) func everyValueLiesInItsBin(scale: Double) {
    var random = SystemRandomNumberGenerator()
    let values = (0..<500).map { _ in Double.random(in: -1...2, using: &random) * scale }
    let histogram = Histogram(values, bins: 33)
    let oracle = (0..<33).map { bin in
      values.count { value in
        value >= histogram.edges[bin]
          && (value < histogram.edges[bin + 1] || (bin == 32 && value == histogram.edges[33]))
      }
    }
    #expect(histogram.counts == oracle)
    #expect(histogram.counts.reduce(0, +) == 500)
  }

  @Test func extremesOfDouble() {
    let large = Histogram([-1.7e308, 0, 1.7e308], bins: 3)
    #expect(large.counts == [1, 1, 1])
    let tiny = Histogram([0, .leastNonzeroMagnitude, .leastNormalMagnitude / 4], bins: 4)
    #expect(tiny.counts.reduce(0, +) == 3)
    let halfPrecision = Histogram([Double(-3e38 as Float), Double(3e38 as Float)], bins: 2, precision: .single)
    #expect(halfPrecision.counts == [1, 1])
  }

  @Test func neighbouringFloatsHaveHundredBins() {
    let value: Float = 1
    let histogram = Histogram([Double(value), Double(value.nextUp)], bins: 100, precision: .single)
    #expect(histogram.counts.first == 1 && histogram.counts.last == 1)
    #expect(zip(histogram.edges, histogram.edges.dropFirst()).allSatisfy { $0 < $1 })
  }

  @Test func valuesOutsideARangeAreNotCounted() {
    #expect(Histogram([0, 1, 2, 3], bins: 2, range: 1...2).counts == [1, 1])
  }

  @Test func ofNothing() {
    #expect(Histogram([], bins: 2).edges == [0, 0.5, 1])
    #expect(Histogram([.nan], bins: 2).counts == [0, 0])
  }
}
