import TensorOperations
import TestSupport
import Testing

@Suite struct NormTests {
  static let shapes = [(1, 5), (3, 16), (7, 84), (513, 5), (65, 84), (1, 2), (2, 896)]

  struct Case: Sendable {
    let norm: Normalization
    var hasBias = false
  }

  static let cases = [
    Case(norm: .rms(epsilon: 1e-3, offset: 0)), Case(norm: .rms(epsilon: 1e-3, offset: 1)),
    Case(norm: .layer(epsilon: 1e-3)), Case(norm: .layer(epsilon: 1e-3), hasBias: true),
  ]

  @Test(arguments: shapes, cases)
  func agreesWithOracle(shape: (rows: Int, width: Int), test: Case) throws {
    let ((T, D), norm) = (shape, test.norm)
    var numbers = SeededNumbers(seed: UInt64(T * 1000 + D))
    let (x, w, dy, earlier) = (numbers.floats(T * D), numbers.floats(D), numbers.floats(T * D), numbers.floats(T * D))
    let bias = test.hasBias ? numbers.floats(D) : nil
    let rows = (0..<T).map { doubles(Array(x[$0 * D..<($0 + 1) * D])) }
    // A row's gradient depends on that row only. (The width of a whole model is checked in two rows.)
    let gradient = rows.enumerated().flatMap { t, row in
      let dy_t = doubles(Array(dy[t * D..<(t + 1) * D]))
      return finiteDifferences(at: row) { dot(Oracle.normalize($0, doubles(w), nil, norm), dy_t) }
    }
    for device in TestDevice.all {
      let ops = try device.makeOperations()
      let (X, W) = (GuardedTensor(ops, T, D, x), GuardedTensor(ops, 1, D, w))
      let B = bias.map { GuardedTensor(ops, 1, D, $0) }
      let (Y, R) = (GuardedTensor(ops, T, D), GuardedTensor(ops, T, 1))
      ops.normalize(y: Y.tensor, statistics: R.tensor, x: X.tensor, weight: W.tensor, bias: B?.tensor, norm)
      // A product of three numbers, each rounded: 1e-7 or so.
      let expected = Oracle.normalize(doubles(x), doubles(w), bias.map(doubles), norm)
      #expect(relativeL2(Y.values(), expected) < 3e-7)
      #expect(relativeL2(R.values(), rows.map { Oracle.inverseDeviation($0, norm) }) < 1e-7)

      let (DX, DY) = (GuardedTensor(ops, T, D, earlier), GuardedTensor(ops, T, D, dy))
      func goBack(_ dx: GuardedTensor, accumulate: Bool) -> [Float] {
        ops.normalizeBackward(
          dx: dx.tensor, dy: DY.tensor, statistics: R.tensor, x: X.tensor, weight: W.tensor, norm,
          accumulate: accumulate)
        return dx.values()
      }
      // What was there before stays.
      let added = zip(goBack(DX, accumulate: true), earlier).map { Double($0) - Double($1) }
      // With two numbers a layer norm knows only which of them is larger: its gradient is next to nothing.
      let scale = D == 2 ? 3 : 0.0
      #expect(
        relativeL2(added, gradient) < 1e-6
          || scale > 0 && zip(added, gradient).allSatisfy { abs($0 - $1) < 1e-6 * scale })
      for (tensor, values) in [(X, x), (W, w), (DY, dy)] { expectUnchanged(tensor, values) }
      let alone = goBack(GuardedTensor(ops, T, D), accumulate: false)
      #expect(goBack(GuardedTensor(ops, T, D, Array(repeating: 0, count: T * D)), accumulate: true) == alone)
      // In the place of what came back.
      #expect(goBack(DY, accumulate: false) == alone)
    }
  }

  /// On the processor all is in Double but the number that is written.
  @Test(arguments: cases) func roundsOnce(test: Case) throws {
    var numbers = SeededNumbers(seed: 9)
    let (T, D) = (5, 84)
    let (x, w, bias) = (numbers.floats(T * D), numbers.floats(D), test.hasBias ? numbers.floats(D) : nil)
    let ops = try CPUOperations(threads: 2)
    let (Y, R) = (GuardedTensor(ops, T, D), GuardedTensor(ops, T, 1))
    ops.normalize(
      y: Y.tensor, statistics: R.tensor, x: GuardedTensor(ops, T, D, x).tensor,
      weight: GuardedTensor(ops, 1, D, w).tensor, bias: bias.map { GuardedTensor(ops, 1, D, $0).tensor }, test.norm)
    for (found, exact) in zip(Y.values(), Oracle.normalize(doubles(x), doubles(w), bias.map(doubles), test.norm)) {
      #expect(abs(Double(found) - exact) < 0.501 * Double(found.ulp))
    }
  }

  /// Norms of queries and keys: every head of a row is a row of its own.
  @Test(arguments: cases, TestDevice.all) func headsOfARow(test: Case, device: TestDevice) throws {
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 3)
    let (T, heads, W) = (7, 3, 6)
    let (x, w, dy) = (numbers.floats(T * heads * W), numbers.floats(W), numbers.floats(T * heads * W))
    let (X, DX) = (GuardedTensor(ops, T, heads * W, x), GuardedTensor(ops, T, heads * W, dy))
    let (Y, R) = (GuardedTensor(ops, T, heads * W), GuardedTensor(ops, T, heads))
    let weight = GuardedTensor(ops, 1, W, w).tensor
    let (rows, dRows) = (X.tensor.rows(ofWidth: W), DX.tensor.rows(ofWidth: W))
    ops.normalize(
      y: Y.tensor.rows(ofWidth: W), statistics: R.tensor, x: rows, weight: weight, bias: nil, test.norm)
    #expect(relativeL2(Y.values(), Oracle.normalize(doubles(x), doubles(w), nil, test.norm)) < 3e-7)
    ops.normalizeBackward(
      dx: dRows, dy: dRows, statistics: R.tensor, x: rows, weight: weight, test.norm, accumulate: false)
    let expected = finiteDifferences(at: doubles(x)) {
      dot(Oracle.normalize($0, doubles(w), nil, test.norm), doubles(dy))
    }
    #expect(relativeL2(DX.values(), expected) < 1e-6)
  }

  /// The sum of squares of numbers that Float cannot square.
  @Test(arguments: [Float(1e-25), 1e-12, 1e12, 1e25], cases)
  func largeAndSmallNumbers(scale: Float, test: Case) throws {
    let norm =
      switch test.norm {
      case .rms(_, let offset): Normalization.rms(epsilon: 1e-6, offset: offset)
      case .layer: Normalization.layer(epsilon: 1e-6)
      }
    var numbers = SeededNumbers(seed: 7)
    let (T, D) = (3, 16)
    let (x, w) = (numbers.floats(T * D, scale: scale), numbers.floats(D))
    let expected = Oracle.normalize(doubles(x), doubles(w), nil, norm)
    for device in TestDevice.all {
      let ops = try device.makeOperations()
      let (Y, R) = (GuardedTensor(ops, T, D), GuardedTensor(ops, T, 1))
      ops.normalize(
        y: Y.tensor, statistics: R.tensor, x: GuardedTensor(ops, T, D, x).tensor,
        weight: GuardedTensor(ops, 1, D, w).tensor, bias: nil, norm)
      #expect(relativeL2(Y.values(), expected) < 3e-7)
    }
  }

  /// Numbers that differ in their last digits only: the mean is taken off before anything is rounded.
  @Test(arguments: TestDevice.all) func aLargeMean(device: TestDevice) throws {
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 8)
    let (T, D) = (3, 84)
    let norm = Normalization.layer(epsilon: 1e-6)
    let (x, w, dy) = (numbers.floats(T * D).map { 10_000 + $0 }, numbers.floats(D), numbers.floats(T * D))
    let (X, W) = (GuardedTensor(ops, T, D, x), GuardedTensor(ops, 1, D, w))
    let (Y, R, DX) = (GuardedTensor(ops, T, D), GuardedTensor(ops, T, 1), GuardedTensor(ops, T, D, dy))
    ops.normalize(y: Y.tensor, statistics: R.tensor, x: X.tensor, weight: W.tensor, bias: nil, norm)
    #expect(relativeL2(Y.values(), Oracle.normalize(doubles(x), doubles(w), nil, norm)) < 3e-7)
    ops.normalizeBackward(
      dx: DX.tensor, dy: DX.tensor, statistics: R.tensor, x: X.tensor, weight: W.tensor, norm, accumulate: false)
    // The mean is nothing to the gradient: differences are taken where they are exact.
    let expected = finiteDifferences(at: x.map { Double($0) - 10_000 }) {
      dot(Oracle.normalize($0, doubles(w), nil, norm), doubles(dy))
    }
    #expect(relativeL2(DX.values(), expected) < 1e-6)
  }

  @Test(arguments: cases, TestDevice.all) func aRowOfZeros(test: Case, device: TestDevice) throws {
    let ops = try device.makeOperations()
    let (Y, R, DX) = (GuardedTensor(ops, 1, 4), GuardedTensor(ops, 1, 1), GuardedTensor(ops, 1, 4))
    let (zeros, ones) = (GuardedTensor(ops, 1, 4, [0, 0, 0, 0]), GuardedTensor(ops, 1, 4, [1, 1, 1, 1]))
    ops.normalize(
      y: Y.tensor, statistics: R.tensor, x: zeros.tensor, weight: ones.tensor, bias: nil, test.norm)
    ops.normalizeBackward(
      dx: DX.tensor, dy: ones.tensor, statistics: R.tensor, x: zeros.tensor, weight: ones.tensor, test.norm,
      accumulate: false)
    #expect(Y.values() == [0, 0, 0, 0])
    // 1/√ε; a layer norm does not see what all have in common.
    let expected =
      switch test.norm {
      case .rms(_, let offset): (1 + Double(offset)) / 1e-3.squareRoot()
      case .layer: 0.0
      }
    #expect(DX.values().allSatisfy { abs(Double($0) - expected) <= 1e-6 * expected })
  }

  /// A NaN fills its own row of the result and no other.
  @Test(arguments: 0..<3, cases)
  func passesNaNOn(input: Int, test: Case) throws {
    let (T, D) = (3, 5)
    var numbers = SeededNumbers(seed: 5)
    var inputs = [numbers.floats(T * D), numbers.floats(D), numbers.floats(T * D)]
    inputs[input][input == 1 ? 2 : D + 2] = .nan
    for device in TestDevice.all {
      let ops = try device.makeOperations()
      let (X, W, DX) = (
        GuardedTensor(ops, T, D, inputs[0]), GuardedTensor(ops, 1, D, inputs[1]), GuardedTensor(ops, T, D, inputs[2])
      )
      let (Y, R) = (GuardedTensor(ops, T, D), GuardedTensor(ops, T, 1))
      ops.normalize(y: Y.tensor, statistics: R.tensor, x: X.tensor, weight: W.tensor, bias: nil, test.norm)
      ops.normalizeBackward(
        dx: DX.tensor, dy: DX.tensor, statistics: R.tensor, x: X.tensor, weight: W.tensor, test.norm,
        accumulate: false)
      let rows = input == 1 ? 0..<T : 1..<2
      for t in 0..<T {
        let isIn = rows.contains(t)
        #expect(DX.values()[t * D..<(t + 1) * D].allSatisfy { $0.isNaN == isIn })
        if input == 0 { #expect(Y.values()[t * D..<(t + 1) * D].allSatisfy { $0.isNaN == isIn }) }
        if input == 1 { #expect(Y.values()[t * D + 2].isNaN && !Y.values()[t * D].isNaN) }
      }
    }
  }
}
