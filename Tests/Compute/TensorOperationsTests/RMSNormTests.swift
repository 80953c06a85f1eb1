import TensorOperations
import TestSupport
import Testing

@Suite struct RMSNormTests {
  static let shapes = [(1, 5), (3, 16), (7, 84), (129, 5), (300, 16), (513, 84), (1, 2), (2, 896)]

  @Test(arguments: shapes, TestDevice.all)
  func agreesWithOracle(shape: (rows: Int, width: Int), device: TestDevice) throws {
    let (T, D) = shape
    var numbers = SeededNumbers(seed: UInt64(T * 1000 + D))
    let (x, w, dy, earlier) = (numbers.floats(T * D), numbers.floats(D), numbers.floats(T * D), numbers.floats(T * D))
    let ops = try device.makeOperations()
    let (X, W) = (GuardedTensor(ops, T, D, x), GuardedTensor(ops, 1, D, w))
    let (Y, R) = (GuardedTensor(ops, T, D), GuardedTensor(ops, T, 1))
    ops.rmsNorm(y: Y.tensor, inverseRMS: R.tensor, x: X.tensor, weight: W.tensor, epsilon: 1e-3)
    let epsilon = Double(Float(1e-3))
    // A product of three numbers, each rounded: 1e-7 or so.
    #expect(relativeL2(Y.values(), Oracle.rmsNorm(doubles(x), doubles(w), epsilon: epsilon)) < 3e-7)
    let rows = (0..<T).map { doubles(Array(x[$0 * D..<($0 + 1) * D])) }
    let inverses = rows.map { 1 / (dot($0, $0) / Double(D) + epsilon).squareRoot() }
    #expect(relativeL2(R.values(), inverses) < 1e-7)

    // It accumulates: what was there before stays.
    let (DX, DY) = (GuardedTensor(ops, T, D, earlier), GuardedTensor(ops, T, D, dy))
    ops.rmsNormBackward(dx: DX.tensor, dy: DY.tensor, x: X.tensor, weight: W.tensor, inverseRMS: R.tensor)
    // A row's gradient depends on that row only. (The width of a whole model is checked in two rows.)
    let expected = rows.enumerated().flatMap { t, row in
      let dy_t = doubles(Array(dy[t * D..<(t + 1) * D]))
      return finiteDifferences(at: row) { dot(Oracle.rmsNorm($0, doubles(w), epsilon: epsilon), dy_t) }
    }
    let found = zip(DX.values(), earlier).map { Double($0) - Double($1) }
    #expect(relativeL2(found, expected) < 1e-6)
    for (tensor, values) in [(X, x), (W, w), (DY, dy)] { expectUnchanged(tensor, values) }
  }

  /// The sum of squares of numbers that Float cannot square.
  @Test(arguments: [Float(1e-25), 1e-12, 1e12, 1e25], TestDevice.all)
  func largeAndSmallNumbers(scale: Float, device: TestDevice) throws {
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 7)
    let (T, D) = (3, 16)
    let (x, w) = (numbers.floats(T * D, scale: scale), numbers.floats(D))
    let (Y, R) = (GuardedTensor(ops, T, D), GuardedTensor(ops, T, 1))
    ops.rmsNorm(
      y: Y.tensor, inverseRMS: R.tensor, x: GuardedTensor(ops, T, D, x).tensor,
      weight: GuardedTensor(ops, 1, D, w).tensor,
      epsilon: 1e-6)
    #expect(relativeL2(Y.values(), Oracle.rmsNorm(doubles(x), doubles(w), epsilon: Double(Float(1e-6)))) < 3e-7)
  }

  @Test(arguments: TestDevice.all) func aRowOfZeros(device: TestDevice) throws {
    let ops = try device.makeOperations()
    let (Y, R, DX) = (GuardedTensor(ops, 1, 4), GuardedTensor(ops, 1, 1), GuardedTensor(ops, 1, 4, [0, 0, 0, 0]))
    let zeros = GuardedTensor(ops, 1, 4, [0, 0, 0, 0])
    let ones = GuardedTensor(ops, 1, 4, [1, 1, 1, 1])
    ops.rmsNorm(y: Y.tensor, inverseRMS: R.tensor, x: zeros.tensor, weight: ones.tensor, epsilon: 1e-6)
    ops.rmsNormBackward(
      dx: DX.tensor, dy: ones.tensor, x: zeros.tensor, weight: ones.tensor, inverseRMS: R.tensor)
    #expect(Y.values() == [0, 0, 0, 0])
    // r = 1/√ε
    #expect(relativeL2(DX.values(), [1e3, 1e3, 1e3, 1e3]) < 1e-6)
  }

  /// A NaN fills its own row of the result and no other.
  @Test(arguments: 0..<3, TestDevice.all)
  func passesNaNOn(input: Int, device: TestDevice) throws {
    let ops = try device.makeOperations()
    let (T, D) = (3, 5)
    var numbers = SeededNumbers(seed: 5)
    var inputs = [numbers.floats(T * D), numbers.floats(D), numbers.floats(T * D)]
    inputs[input][input == 1 ? 2 : D + 2] = .nan
    let (X, W, DY) = (
      GuardedTensor(ops, T, D, inputs[0]), GuardedTensor(ops, 1, D, inputs[1]), GuardedTensor(ops, T, D, inputs[2])
    )
    let (Y, R, DX) = (
      GuardedTensor(ops, T, D), GuardedTensor(ops, T, 1), GuardedTensor(ops, T, D, Array(repeating: 0, count: T * D))
    )
    ops.rmsNorm(y: Y.tensor, inverseRMS: R.tensor, x: X.tensor, weight: W.tensor, epsilon: 1e-6)
    ops.rmsNormBackward(dx: DX.tensor, dy: DY.tensor, x: X.tensor, weight: W.tensor, inverseRMS: R.tensor)
    let rows = input == 1 ? 0..<T : 1..<2
    for t in 0..<T {
      let isIn = rows.contains(t)
      #expect(DX.values()[t * D..<(t + 1) * D].allSatisfy { $0.isNaN == isIn })
      if input == 0 { #expect(Y.values()[t * D..<(t + 1) * D].allSatisfy { $0.isNaN == isIn }) }
      if input == 1 { #expect(Y.values()[t * D + 2].isNaN && !Y.values()[t * D].isNaN) }
    }
  }
}
