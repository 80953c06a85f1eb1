import CVectorMath
import Glibc
import Testing

/// cap · tanh(x / cap), which attention's scores and the logits pass through.
@Suite struct SoftCapTests {
  private static func cap(_ x: [Float], _ cap: Float) -> (values: [Float], slopes: [Float]) {
    var (values, slopes) = (x, [Float](repeating: .nan, count: x.count))
    vector_soft_cap(&values, &slopes, x.count, cap)
    var alone = x
    vector_soft_cap(&alone, nil, x.count, cap)
    #expect(alone.map(\.bitPattern) == values.map(\.bitPattern))
    return (values, slopes)
  }

  /// Both to a few units in the last place at all sizes, small ones above all: there a score must stay what it is.
  @Test(arguments: [Float(1), 30, 50]) func isRightAtEverySize(cap: Float) {
    let sizes = (-60...26).flatMap { exponent in [1, 1.2345, 1.9].map { Float($0 * pow(1.5, Double(exponent))) } }
    let x = (sizes + sizes.map { -$0 }).filter { abs($0) < 40 * cap }
    let (values, slopes) = Self.cap(x, cap)
    for (index, x) in x.enumerated() {
      let z = Double(x) / Double(cap)
      #expect(abs(Double(values[index]) - Double(cap) * tanh(z)) <= 4e-7 * Double(cap) * abs(tanh(z)), "\(x)")
      let slope = 1 / (cosh(z) * cosh(z))
      // The exponential of 2z: an argument that is rounded.
      #expect(abs(Double(slopes[index]) - slope) <= (5e-7 + 2e-7 * abs(z)) * slope + 1e-37, "\(x)")
    }
  }

  @Test func endsAtTheCap() {
    let (values, slopes) = Self.cap([1e4, -1e4, .greatestFiniteMagnitude, .infinity, -.infinity, 0, .nan], 30)
    #expect(Array(values[..<6]) == [30, -30, 30, 30, -30, 0] && values[6].isNaN)
    #expect(slopes[..<5].allSatisfy { $0 >= 0 && $0 < 1e-36 } && slopes[5] == 1 && slopes[6].isNaN)
  }
}
