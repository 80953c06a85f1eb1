import CVectorMath
import Glibc
import Testing

@Suite struct ExponentialTests {
  private static func exponentiate(_ x: [Float], shift: Float = 0) -> (values: [Float], sum: Double) {
    var values = x
    let sum = vector_exponentiate(&values, values.count, shift)
    return (values, sum)
  }

  /// Every 1009th Float from −87 to 88, against Double.
  @Test(arguments: [Float(88), -87]) func isRightToTwoUnits(end: Float) {
    let arguments = stride(from: UInt32(0), through: end.magnitude.bitPattern, by: 1009).map { bits in
      end < 0 ? -Float(bitPattern: bits) : Float(bitPattern: bits)
    }
    let (found, sum) = Self.exponentiate(arguments)
    var worst = (error: 0.0, argument: Float(0))
    var expectedSum = 0.0
    for (x, y) in zip(arguments, found) {
      let exact = exp(Double(x))
      let error = abs(Double(y) - exact) / Double(Float(exact).ulp)
      // `>` would let a NaN through.
      if !(error <= worst.error) { worst = (error, x) }
      expectedSum += Double(y)
    }
    #expect(worst.error <= 2, "e^\(worst.argument)")
    #expect(abs(sum - expectedSum) <= 1e-12 * expectedSum)
  }

  @Test func isExactAtZero() { #expect(Self.exponentiate([0, -0.0]).values == [1, 1]) }

  /// Beyond its range it stays at the range's ends: neither 0, nor infinite, nor wrong in sign.
  @Test func saturates() {
    let low = Self.exponentiate([-87.4, -88, -104, -150, -1e4, -.greatestFiniteMagnitude, -.infinity]).values
    #expect(low.allSatisfy { $0 > 0 && $0 < 2e-38 })
    let high = Self.exponentiate([88.4, 89, 150, 1e4, .greatestFiniteMagnitude, .infinity]).values
    #expect(high.allSatisfy { $0 > 2e38 && $0.isFinite })
  }

  /// Counts around the widths of vector registers: no element is left out, and none behind the last is touched.
  @Test func everyCount() {
    for count in 0...67 {
      let x = (0..<count).map { Float($0 % 9) - 6 }
      var values = x + [.nan]
      let sum = values.withUnsafeMutableBufferPointer { vector_exponentiate($0.baseAddress!, count, 2.5) }
      let expected = x.map { exp(Double($0) - 2.5) }
      let isClose = zip(values, expected).allSatisfy { abs(Double($0) - $1) <= 3e-7 * $1 }
      #expect(isClose && values[count].isNaN, "\(count) elements")
      #expect(abs(sum - expected.reduce(0, +)) <= 1e-6 * max(sum, 1))
    }
  }

  /// The difference is taken in Double, where Float would not tell numbers near 100,000 from one another.
  @Test func ofDoubles() {
    for count in 0...67 {
      let x = (0..<count).map { 100_000 + Double($0 % 9) / 1024 - 3 }
      var values = [Float](repeating: .nan, count: count + 1)
      let sum = vector_exponentiate_doubles(&values, x, count, 100_000)
      let expected = x.map { exp($0 - 100_000) }
      let isClose = zip(values, expected).allSatisfy { abs(Double($0) - $1) <= 3e-7 * $1 }
      #expect(isClose && values[count].isNaN, "\(count) elements")
      #expect(abs(sum - expected.reduce(0, +)) <= 1e-6 * max(sum, 1))
      vector_narrow_double(&values, x, count)
      #expect(values[..<count].elementsEqual(x.map { Float($0) }) && values[count].isNaN)
    }
    var value: Float = 0
    #expect(vector_exponentiate_doubles(&value, [.nan], 1, 0).isNaN && value.isNaN)
  }

  @Test func passesNaNOn() {
    for place in [0, 15, 16, 20] {
      var x = [Float](repeating: 1, count: 21)
      x[place] = .nan
      let (values, sum) = Self.exponentiate(x)
      #expect(values.indices.filter { values[$0].isNaN } == [place])
      #expect(sum.isNaN)
    }
  }

  /// The maximum that softmax subtracts.
  @Test func maximum() {
    for count in 1...67 {
      for place in 0..<count {
        var x = [Float](repeating: -3, count: count)
        x[place] = -2
        #expect(vector_maximum(x, count) == -2)
        x[place] = .nan
        #expect(vector_maximum(x, count).isNaN)
      }
    }
    #expect(vector_maximum([], 0) == -.infinity)
  }
}
