import TensorFiles
import TensorOperations
import TestSupport
import Testing

@Suite struct LinearTests {
  /// Outputs and inputs cross the 64 columns that a thread takes at a time.
  static let shapes = [
    (1, 5, 16), (3, 16, 5), (7, 84, 84), (129, 5, 1), (2, 1, 1), (300, 16, 130), (513, 84, 65), (3, 200, 17),
  ]

  @Test(arguments: shapes, TestDevice.all)
  func agreesWithOracle(shape: (rows: Int, inputs: Int, outputs: Int), device: TestDevice) throws {
    let (N, I, O) = shape
    var numbers = SeededNumbers(seed: UInt64(N * 1000 + I))
    let (x, w, b, earlier) = (numbers.floats(N * I), numbers.floats(O * I), numbers.floats(O), numbers.floats(N * O))
    let ops = try device.makeOperations()
    let product = Oracle.linear(doubles(x), doubles(w), inputs: I, outputs: O)
    for margin in GuardedTensor.margins {
      func guarded(_ rows: Int, _ columns: Int, _ values: [Float]? = nil) -> GuardedTensor {
        GuardedTensor(ops, rows, columns, values, margin: margin)
      }
      let (X, W, B) = (guarded(N, I, x), guarded(O, I, w), guarded(1, O, b))

      let plain = guarded(N, O)
      ops.linear(y: plain.tensor, x: X.tensor, weight: Matrix(W.tensor))
      // Sums of up to 200 products in Float: their rounding adds up to some 1e-7.
      #expect(relativeL2(plain.values(), product) < 1e-6)

      let biased = guarded(N, O)
      ops.linear(y: biased.tensor, x: X.tensor, weight: Matrix(W.tensor), bias: B.tensor)
      #expect(relativeL2(biased.values(), product.enumerated().map { $1 + Double(b[$0 % O]) }) < 1e-6)

      for bias in [nil, B] {
        let accumulated = guarded(N, O, earlier)
        ops.product(
          y: accumulated.tensor, x: X.tensor, matrix: Matrix(W.tensor).transposed, bias: bias?.tensor, accumulate: true)
        let sum = zip(product, earlier).enumerated().map { i, terms in
          terms.0 + Double(terms.1) + (bias == nil ? 0 : Double(b[i % O]))
        }
        #expect(relativeL2(accumulated.values(), sum) < 1e-6)
      }
      for (tensor, values) in [(X, x), (W, w), (B, b)] { expectUnchanged(tensor, values) }
    }
  }

  @Test(arguments: shapes, TestDevice.all)
  func backwardAgreesWithFiniteDifferences(
    shape: (rows: Int, inputs: Int, outputs: Int), device: TestDevice
  ) throws {
    let (N, I, O) = shape
    var numbers = SeededNumbers(seed: UInt64(N * 2000 + I))
    let (dy, w, earlier) = (numbers.floats(N * O), numbers.floats(O * I), numbers.floats(N * I))
    let ops = try device.makeOperations()
    // The function is linear: where x is does not matter. Each element, where that is quick.
    let at = doubles(numbers.floats(N * I))
    let loss = { (x: [Double]) in dot(Oracle.linear(x, doubles(w), inputs: I, outputs: O), doubles(dy)) }
    for margin in GuardedTensor.margins {
      let (DY, W) = (GuardedTensor(ops, N, O, dy, margin: margin), GuardedTensor(ops, O, I, w, margin: margin))
      let DX = GuardedTensor(ops, N, I, margin: margin)
      ops.linearBackward(dx: DX.tensor, dy: DY.tensor, weight: Matrix(W.tensor))
      let accumulated = GuardedTensor(ops, N, I, earlier, margin: margin)
      ops.linearBackward(dx: accumulated.tensor, dy: DY.tensor, weight: Matrix(W.tensor), accumulate: true)

      let sum = zip(DX.values(), earlier).map { Double($0) + Double($1) }
      #expect(relativeL2(accumulated.values(), sum) < 1e-6)
      if N * I < 100 { #expect(relativeL2(DX.values(), finiteDifferences(at: at, loss)) < 1e-6) }
      #expect(directionalError(of: DX.values(), at: at, loss) < 1e-6)
      for (tensor, values) in [(DY, dy), (W, w)] { expectUnchanged(tensor, values) }
    }
  }

  /// Inputs beyond the 1,024 that are widened at a time, outputs beyond the 640 of a task; bf16 and f16 at an odd address.
  @Test(
    arguments: [(3, 1500, 700), (2, 1024, 65), (5, 17, 1301)], [ElementType.bf16, .f16]
  )
  func weightsInHalfAreWidened(shape: (rows: Int, inputs: Int, outputs: Int), type: ElementType) throws {
    let (N, I, O) = shape
    var numbers = SeededNumbers(seed: 5)
    let half = StoredWeights(rows: O, columns: I, type: type, &numbers)
    for device in TestDevice.all + TestDevice.splitting {
      let ops = try device.makeOperations()
      let weight = ops.makeMatrix(half.matrix)
      #expect(weight.type == type || !(ops is CPUOperations), "a copy was made")
      let (x, dy) = (numbers.floats(N * I), numbers.floats(N * O))
      let (X, DY, Y, DX) = (
        GuardedTensor(ops, N, I, x), GuardedTensor(ops, N, O, dy), GuardedTensor(ops, N, O), GuardedTensor(ops, N, I)
      )
      ops.linear(y: Y.tensor, x: X.tensor, weight: weight)
      #expect(relativeL2(Y.values(), Oracle.linear(doubles(x), half.values, inputs: I, outputs: O)) < 1e-6)
      ops.linearBackward(dx: DX.tensor, dy: DY.tensor, weight: weight)
      var dx = [Double](repeating: 0, count: N * I)
      for n in 0..<N {
        for o in 0..<O { for i in 0..<I { dx[n * I + i] += Double(dy[n * O + o]) * half.values[o * I + i] } }
      }
      #expect(relativeL2(DX.values(), dx) < 1e-6)
    }
  }

  /// OpenBLAS must not skip what it multiplies with 0.
  @Test(arguments: TestDevice.all) func passesNaNOn(device: TestDevice) throws {
    let ops = try device.makeOperations()
    let X = GuardedTensor(ops, 2, 3, [1, .nan, 1, 1, 1, 1])
    let zeros = GuardedTensor(ops, 4, 3, Array(repeating: 0, count: 12))
    let Y = GuardedTensor(ops, 2, 4)
    ops.linear(y: Y.tensor, x: X.tensor, weight: Matrix(zeros.tensor))
    #expect(Y.values().map(\.isNaN) == Array(repeating: true, count: 4) + Array(repeating: false, count: 4))
    let DY = GuardedTensor(ops, 2, 4, [1, 1, 1, 1, 1, .nan, 1, 1])
    let DX = GuardedTensor(ops, 2, 3)
    ops.linearBackward(dx: DX.tensor, dy: DY.tensor, weight: Matrix(zeros.tensor))
    #expect(DX.values().map(\.isNaN) == [false, false, false, true, true, true])
    let bias = GuardedTensor(ops, 1, 4, [0, .nan, 0, 0])
    ops.linear(
      y: Y.tensor, x: GuardedTensor(ops, 2, 3, [1, 1, 1, 1, 1, 1]).tensor, weight: Matrix(zeros.tensor),
      bias: bias.tensor)
    #expect(Y.values().map(\.isNaN) == [false, true, false, false, false, true, false, false])
  }
}

/// Products of many terms on the processor.
@Suite struct SumTests {
  private let rows = 40
  private let outputs = 96
  private let ops = try! CPUOperations(threads: 2)

  /// The exact sums of random terms, and what `add` makes of them beside `others`, which are 50 times as large.
  private func outcome(
    inputs: Int = 1024, _ add: (_ y: Tensor, _ x: Tensor, _ weight: Matrix, _ others: Tensor) -> Void
  ) -> (found: [Float], exact: [Double], others: [Float]) {
    var numbers = SeededNumbers(seed: 17)
    let (x, w) = (numbers.floats(rows * inputs), numbers.floats(outputs * inputs))
    let others = numbers.floats(rows * outputs).map { 600 + 300 * $0 }
    let (X, W) = (GuardedTensor(ops, rows, inputs, x), GuardedTensor(ops, outputs, inputs, w))
    let (Y, O) = (GuardedTensor(ops, rows, outputs), GuardedTensor(ops, rows, outputs, others))
    add(Y.tensor, X.tensor, Matrix(W.tensor), O.tensor)
    return (Y.values(), Oracle.linear(doubles(x), doubles(w), inputs: inputs, outputs: outputs), others)
  }

  /// In one sum of all terms they have 3.1e-7.
  @Test func areShortForward() {
    let sums = outcome { y, x, weight, _ in ops.linear(y: y, x: x, weight: weight) }
    #expect(relativeL2(sums.found, sums.exact) < 2.3e-7)
  }

  /// Short sums that are added to the result one after another have 2.6e-7 where there are 128 of them.
  @Test func areAddedByFours() {
    let sums = outcome(inputs: 8192) { y, x, weight, _ in ops.linear(y: y, x: x, weight: weight) }
    #expect(relativeL2(sums.found, sums.exact) < 2.2e-7)
  }

  /// A bias is added to the whole product, which rounds it once.
  @Test func areAddedToABiasAtOnce() {
    let sums = outcome { y, x, weight, others in ops.linear(y: y, x: x, weight: weight, bias: others.first(rows: 1)) }
    for (i, (found, exact)) in zip(sums.found, sums.exact).enumerated() {
      let expected = exact + Double(sums.others[i % outputs])
      #expect(abs(Double(found) - expected) < 0.75 * Double(found.ulp))
    }
  }
}

/// Products whose rows do not depend on one another's company.
@Suite struct RowByRowTests {
  /// From products that OpenBLAS has small kernels for to others that it has not.
  @Test(
    .enabled(if: roundsAllRowsAlike, "OpenBLAS rounds a row by its place on this processor"),
    arguments: [(17, 200), (64, 128), (65, 130), (33, 100), (200, 17), (300, 500)], [false, true])
  func aRowHasTheSameBitsAloneAndAmongOthers(shape: (inputs: Int, outputs: Int), backward: Bool) throws {
    let (I, O) = (shape.inputs, shape.outputs)
    var numbers = SeededNumbers(seed: 11)
    let weight = Matrix(GuardedTensor(try CPUOperations(threads: 1), O, I, numbers.floats(O * I)).tensor)
    let matrix = backward ? weight : weight.transposed
    let rows = 700
    let x = numbers.floats(rows * matrix.rows)
    func product(_ range: Range<Int>, threads: Int) throws -> [UInt32] {
      let ops = try CPUOperations(threads: threads)
      let part = Array(x[range.lowerBound * matrix.rows..<range.upperBound * matrix.rows])
      let (X, Y) = (GuardedTensor(ops, range.count, matrix.rows, part), GuardedTensor(ops, range.count, matrix.columns))
      if backward {
        ops.linearBackward(dx: Y.tensor, dy: X.tensor, weight: weight)
      } else {
        ops.linear(y: Y.tensor, x: X.tensor, weight: weight)
      }
      return Y.values().map(\.bitPattern)
    }
    let together = try product(0..<rows, threads: 1)
    for range in [0..<1, 5..<8, 100..<131, 0..<257] {
      for threads in threadCounts {
        let expected = Array(together[range.lowerBound * matrix.columns..<range.upperBound * matrix.columns])
        #expect(try product(range, threads: threads) == expected, "rows \(range), \(threads) threads")
      }
    }
  }
}
