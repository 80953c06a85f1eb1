import Plotting
import TestSupport
import Testing

/// Labels 6 points wide a character: what collides is decided here and not by a font.
private func width(_ label: String) -> Double { Double(label.count) * 6 }

@Suite struct AxisTicksTests {
  @Test(arguments: [
    // The range of the original "Layer 3", whose labels collided.
    (8.774e-5, 2.573e-4, 5, ["1.0", "1.5", "2.0", "2.5"], -4),
    (0.0, 5.0, 6, ["0", "1", "2", "3", "4", "5"], 0),
    (-2.4e-5, 2.4e-5, 9, ["−2.0", "−1.5", "−1.0", "−0.5", "0.0", "0.5", "1.0", "1.5", "2.0"], -5),
    (0.0, 1.0, 5, ["0.00", "0.25", "0.50", "0.75", "1.00"], 0),
    (0.001, 0.009, 3, ["0.0025", "0.0050", "0.0075"], 0),
    (99_999.0, 300_001.0, 3, ["1", "2", "3"], 5),
    (-3e38, 1e38, 5, ["−3", "−2", "−1", "0", "1"], 38),
    (0.5, 0.500003, 4, ["0.500000", "0.500001", "0.500002", "0.500003"], 0),
  ]) func areRound(low: Double, high: Double, count: Int, labels: [String], exponent: Int) {
    let ticks = AxisTicks.linear(on: Axis(low: low, high: high), atMost: count)
    #expect(ticks.labels == labels)
    #expect(ticks.exponent == exponent)
  }

  /// Where the values share most of their digits, the ticks tell the rest, and the axis' label what they share.
  @Test func closeValuesHaveAnOffset() {
    let low = 3.9491581381352656
    let ticks = AxisTicks.linear(on: Axis(low: low, high: low + 200 * low.ulp), atMost: 6)
    #expect(ticks.offset == 3.9491581381353 && ticks.exponent == -14)
    #expect(ticks.labels == ["−2", "0", "2", "4"])
    let negative = AxisTicks.linear(on: Axis(low: -1e-5 - 4e-17, high: -1e-5 + 4e-17), atMost: 5)
    #expect(negative.offset == -1e-5 && negative.labels == ["−4", "−2", "0", "2", "4"] && negative.exponent == -17)
    #expect(AxisTicks.linear(on: Axis(low: 1, high: 1.00001), atMost: 5).offset == 0)
    #expect(AxisTicks.linear(on: Axis(low: -1e-9, high: 1e-9), atMost: 5).offset == 0)
  }

  @Test func countsAreWholeAndGrouped() {
    let ticks = AxisTicks.linear(on: Axis(low: 0, high: 12_600), atMost: 6, areIntegers: true)
    #expect(ticks.labels == ["0", "2,500", "5,000", "7,500", "10,000", "12,500"])
    #expect(AxisTicks.linear(on: Axis(low: 0, high: 1.05), atMost: 8, areIntegers: true).labels == ["0", "1"])
    #expect(AxisTicks.linear(on: Axis(low: 0, high: 10.5), atMost: 5, areIntegers: true).labels == ["0", "5", "10"])
  }

  @Test func decadesThinOut() {
    let axis = Axis(low: 0.7, high: 98_304, scale: .logarithmic)
    #expect(AxisTicks.decades(on: axis, atMost: 8).labels == ["1", "10", "100", "1,000", "10,000"])
    #expect(AxisTicks.decades(on: axis, atMost: 3).labels == ["1", "100", "10,000"])
    // Below 1, and where digits would be many, as powers.
    let small = Axis(low: 2e-4, high: 30, scale: .logarithmic)
    #expect(AxisTicks.decades(on: small, atMost: 8).labels == ["10⁻³", "10⁻²", "10⁻¹", "1", "10"])
    let large = Axis(low: 1e9, high: 2e11, scale: .logarithmic)
    #expect(AxisTicks.decades(on: large, atMost: 8).labels == ["1,000,000,000", "10¹⁰", "10¹¹"])
  }

  /// Whatever the data: labels apart, no more than wanted, within the axis, and saying what the tick is.
  @Test(arguments: 0..<2000) func neverCollide(seed: UInt64) {
    var random = SeededNumbers(seed: seed)
    let size = pow10(Double.random(in: -12...12, using: &random))
    let middle = Double.random(in: -1...1, using: &random) * size * (seed.isMultiple(of: 3) ? 1000 : 1)
    let axis = Axis(low: middle - size * Double.random(in: 0.01...1, using: &random), high: middle + size)
    let length = Double.random(in: 60...900, using: &random)
    let ticks = AxisTicks.fitting(axis, length: length, gap: 8, extent: width)
    #expect(ticks.haveRoom(on: axis, length: length, gap: 8, extent: width))
    #expect(ticks.values.count <= 10)
    // Room for two labels of ten characters is always room for a tick.
    if length > 300 { #expect(!ticks.values.isEmpty) }
    for (value, label) in zip(ticks.values, ticks.labels) {
      #expect((-1e-9...1 + 1e-9).contains(axis.fraction(of: value)))
      let said = Double(label.replacing("−", with: "-"))! * pow10(Double(ticks.exponent))
      #expect(abs(said - value) <= 1e-9 * size + 1e-12 * abs(value), "\(label) × 10^\(ticks.exponent) for \(value)")
    }
    #expect(Set(ticks.labels).count == ticks.labels.count)
  }

  @Test func roomIsMeasured() {
    let axis = Axis(low: 0, high: 100)
    let ticks = AxisTicks(values: [0, 50, 100], labels: ["0", "50", "100"], exponent: 0)
    // Halves 3, 6 and 9: the closest pair is 50 and 100, with half the length less 15 between them.
    #expect(ticks.haveRoom(on: axis, length: 50, gap: 10, extent: width))
    #expect(!ticks.haveRoom(on: axis, length: 49, gap: 10, extent: width))
  }
}

@Suite struct AxisTests {
  @Test func signedGradientsAreCentredOnZero() {
    let axis = Axis.averages(minimum: -1, maximum: 4, isCentredOnZero: true, margin: 0.05)
    #expect(axis.low == -axis.high && axis.high == 4.2)
    #expect(axis.fraction(of: 0) == 0.5)
  }

  @Test func othersHaveAMarginOnBothSides() {
    let axis = Axis.averages(minimum: 1, maximum: 3, isCentredOnZero: false, margin: 0.05)
    #expect(abs(axis.low - 0.9) < 1e-12 && abs(axis.high - 3.1) < 1e-12)
  }

  @Test(arguments: [0, 3.3e-5, -2, 1e300, .leastNonzeroMagnitude, .nan], [true, false]) func constantArraysHaveAnAxis(
    value: Double, isSigned: Bool
  ) {
    let axis = Axis.averages(minimum: value, maximum: value, isCentredOnZero: isSigned)
    #expect(axis.low < axis.high)
    if value.isFinite { #expect((0...1).contains(axis.fraction(of: value))) }
    #expect(!AxisTicks.fitting(axis, length: 400, gap: 8, extent: width).values.isEmpty)
  }

  @Test func spansAllOfDouble() {
    let axis = Axis.averages(minimum: -1.7e308, maximum: 1.7e308, isCentredOnZero: false)
    #expect(axis.fraction(of: 0) == 0.5)
    #expect(AxisTicks.fitting(axis, length: 400, gap: 8, extent: width).exponent == 308)
  }

  @Test func logarithmicCountsShowSingleOnes() {
    let axis = Axis.counts(maximum: 60_000, scale: .logarithmic)
    #expect(axis.fraction(of: 1) > 0.02)
    #expect(abs(axis.fraction(of: 100) - axis.fraction(of: 10) - axis.fraction(of: 10) + axis.fraction(of: 1)) < 1e-12)
  }
}
