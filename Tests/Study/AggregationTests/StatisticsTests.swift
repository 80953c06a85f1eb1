import Aggregation
import TensorStream
import Testing

@Suite struct StatisticsTests {
  @Test(arguments: NumPyFixtures.names) func equalNumPy(name: String) throws {
    let expected = try NumPyFixtures.expected(name)
    var values = expected.values
    for (index, infinite) in expected.integers("infinite").enumerated() {
      values[infinite] = index.isMultiple(of: 2) ? .infinity : -.infinity
    }
    let statistics = Statistics(values)
    #expect(statistics.count == expected["count"].int)
    #expect(statistics.notANumber.firstIndices == expected.integers("nan"))
    #expect(statistics.infinite.firstIndices == expected.integers("infinite"))
    #expect(statistics.minimum == expected["minimum"].number)
    #expect(statistics.maximum == expected["maximum"].number)
    #expect(statistics.maximumMagnitude == expected["maximum_magnitude"].number)
    // numpy sums pairwise, we in order: the last digits may differ.
    #expect(isClose(statistics.mean, expected["mean"].number!, scale: statistics.maximumMagnitude))
    #expect(
      isClose(
        statistics.standardDeviation, expected["standard_deviation"].number!, scale: statistics.maximumMagnitude))
  }

  private func isClose(_ a: Double, _ b: Double, scale: Double) -> Bool { abs(a - b) <= 1e-14 * max(scale, 1e-300) }

  @Test func takeFloatsAndDoubles() {
    #expect(Statistics([1, 2, 3.5] as [Float]) == Statistics([1, 2, 3.5] as [Double]))
    let values: [Float] = [-4, 2]
    let statistics = values.withUnsafeBufferPointer { Statistics($0) }
    #expect(statistics.mean == -1 && statistics.standardDeviation == 3 && statistics.maximumMagnitude == 4)
  }

  @Test func smallSpreadBesideALargeMean() {
    let statistics = Statistics([1e9 + 1, 1e9 + 2, 1e9 + 3])
    #expect(abs(statistics.standardDeviation - (2.0 / 3).squareRoot()) < 1e-12)
  }

  @Test func ofNothingAreNaN() {
    let none: [[Double]] = [[], [Double.nan], [Double.infinity, Double.nan]]
    for values in none {
      let statistics = Statistics(values)
      #expect(statistics.count == 0)
      #expect("\(statistics.mean) \(statistics.standardDeviation) \(statistics.maximumMagnitude)" == "nan nan nan")
    }
  }

  @Test func nameWhatIsLeftOut() {
    #expect(Statistics([1.0, 2]).exclusions == nil)
    #expect(Statistics([1.0, .nan, -Double.infinity, .nan]).exclusions == "2 NaN (at 1, 3), 1 infinite (at 2)")
    #expect(
      Statistics([Double](repeating: .nan, count: 700)).exclusions == "700 NaN (at 0, 1, 2, 3, 4, …)")
  }

  /// Python prints the same by f"{x:.6f}" and f"{x:.2e}".
  @Test(
    arguments: [
      (0, "0.000000"), (-0.0, "0.000000"), (0.002345, "0.002345"), (-12.5, "-12.500000"), (1e-4, "0.000100"),
      (0.00012345, "0.000123"), (9.96e-5, "9.96e-05"), (1.234e-7, "1.23e-07"), (-1.234e-7, "-1.23e-07"),
      (9.999e-5, "1.00e-04"), (.leastNonzeroMagnitude, "4.94e-324"), (.nan, "nan"),
    ] as [(Double, String)])
  func smallNumbersKeepThreeDigits(_ value: Double, _ text: String) {
    let magnitude = text.hasPrefix("-") ? String(text.dropFirst()) : text
    let deviation = value.isNaN ? "nan" : "0.000000"
    #expect(
      PlaceSummary.text(Place(.mlpOut, 3), [.mean: Statistics([value])])
        == "Layer 3: Mean gradient = \(text), Max gradient = \(magnitude), Std gradient = \(deviation)")
  }

  @Test func summaryLinesAreThoseOfThePythonScripts() {
    let absolute = Statistics([0.002, 0.004, 0.123456])
    #expect(
      PlaceSummary.text(Place(.mlpOut, 0), [.meanAbsolute: absolute])
        == "Layer 0: Mean abs gradient = 0.043152, Max gradient = 0.123456, Std gradient = 0.056789")
    let signed = Statistics([-0.25, 0.05])
    #expect(
      PlaceSummary.text(Place(.mlpOut, 7), [.mean: signed])
        == "Layer 7: Mean gradient = -0.100000, Max gradient = 0.250000, Std gradient = 0.150000")
    #expect(
      PlaceSummary.text(Place(.residPost, 0), [.meanAbsolute: absolute])
        == "Layer 0 (resid_post): Mean abs gradient = 0.043152, Max gradient = 0.123456, Std gradient = 0.056789")
    #expect(
      PlaceSummary.text(Place(.mlpOut, 7), [.mean: signed, .meanAbsolute: absolute])
        == """
        Layer 7:
          Mean gradient (signed) = -0.100000, Max = 0.250000, Std = 0.150000
          Mean gradient (abs) = 0.043152, Max = 0.123456, Std = 0.056789
        """)
  }
}
