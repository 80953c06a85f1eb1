import Aggregation
import JSON
import TensorStream
import Testing

@Suite struct HistogramTests {
  @Test(arguments: NumPyFixtures.names, [1, 7, 50, 100]) func equalsNumPy(name: String, bins: Int) throws {
    let expected = try NumPyFixtures.expected(name)
    let numPy = expected["histograms"][String(bins)]!
    let histogram = Histogram(
      expected.values, bins: bins, areFloat32: name.hasSuffix("f4"))
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
    let halfPrecision = Histogram([Double(-3e38 as Float), Double(3e38 as Float)], bins: 2, areFloat32: true)
    #expect(halfPrecision.counts == [1, 1])
  }

  @Test func neighbouringFloatsHaveHundredBins() {
    let value: Float = 1
    let histogram = Histogram([Double(value), Double(value.nextUp)], bins: 100, areFloat32: true)
    #expect(histogram.counts.first == 1 && histogram.counts.last == 1)
    #expect(zip(histogram.edges, histogram.edges.dropFirst()).allSatisfy { $0 < $1 })
  }

  /// numpy.histogram(values, 100) refuses these: "Too many bins for data range".
  @Test(arguments: [
    [1, 1.0.nextUp, 1.0.nextUp.nextUp], [3.9491581381352656, 3.9491581381352665], [-1e-5, (-1e-5).nextUp],
    [1e300, 1e300.nextUp], [9_007_199_254_740_992, 9_007_199_254_740_994],
  ]) func nearlyEqualValuesLieInOneBin(values: [Double]) {
    let gradients = PlaceAverages(
      place: Place(.mlpOut, 0), measure: .average(.gradient, .meanAbsolute), unit: .feature, values: values)
    let histogram = gradients.histogram(bins: 100)
    #expect(histogram.counts.max() == values.count && histogram.counts[50] == values.count)
    // The bin is a hundredth of the value wide, and the value lies in its middle.
    let (first, last) = (histogram.edges[50] / values[0], histogram.edges[51] / values[0])
    #expect(abs(first - 0.995) < 1e-9 || abs(first - 1.005) < 1e-9)
    #expect(abs(abs(last - first) - 0.01) < 1e-9)
    #expect(gradients.isConstant)
  }

  /// Where numpy makes bins, they are drawn, however close together the values are.
  @Test func closeValuesThatNumPyTakesHaveItsBins() {
    var values = [1.0]
    for _ in 0..<200 { values.append(values.last!.nextUp) }
    let gradients = PlaceAverages(
      place: Place(.mlpOut, 0), measure: .average(.gradient, .mean), unit: .feature, values: values)
    #expect(gradients.histogram(bins: 100) == Histogram(values, bins: 100))
    #expect(!gradients.isConstant)
  }

  @Test(arguments: [0, 3.7, -2e-5, .leastNonzeroMagnitude]) func constantValuesHaveTheCountsOfNumPy(value: Double) {
    let gradients = PlaceAverages(
      place: Place(.mlpOut, 0), measure: .average(.gradient, .mean), unit: .feature, values: [value, value])
    for bins in [1, 7, 100] {
      #expect(gradients.histogram(bins: bins).counts == Histogram([0, 0], bins: bins).counts, "\(bins) bins")
    }
  }

  @Test func valuesOutsideARangeAreNotCounted() {
    #expect(Histogram([0, 1, 2, 3], bins: 2, range: 1...2).counts == [1, 1])
  }

  @Test func ofNothing() {
    #expect(Histogram([], bins: 2).edges == [0, 0.5, 1])
    #expect(Histogram([.nan], bins: 2).counts == [0, 0])
  }
}
