import CUDAOperations
import TensorFiles
import TensorOperations
import TestSupport
import Testing

/// Products of Float with matrices of halves, or of Float in two halves, on tensor cores, whose sums are cut off and not rounded.
@Suite(.enabled(if: !TestDevice.splitting.isEmpty, "\(StandInGPU.absence)"))
struct SplitProductTests {
  /// An inner dimension that whole sums of tensor cores would shrink by 5e-6, and pieces whose scales did not make up for
  /// it by 5e-7. The error along the result is what averages over positions keep.
  @Test(arguments: [ElementType.bf16, .f32], TestDevice.splitting)
  func longSumsAreAsExactAsThoseOfFloat(type: ElementType, device: TestDevice) throws {
    let (N, I, O) = (6, 4864, 20)
    var numbers = SeededNumbers(seed: 31)
    let half = StoredWeights(rows: O, columns: I, type: type, &numbers)
    let x = numbers.floats(N * I)
    let ops = try device.makeOperations()
    let weight = ops.makeMatrix(half.matrix)
    let (X, Y) = (GuardedTensor(ops, N, I, x), GuardedTensor(ops, N, O))
    ops.linear(y: Y.tensor, x: X.tensor, weight: weight)
    let expected = Oracle.linear(doubles(x), half.values, inputs: I, outputs: O)
    let errors = zip(Y.values(), expected).map { Double($0) - $1 }
    let along = dot(errors, expected) / dot(expected, expected)
    #expect(relativeL2(Y.values(), expected) < 1e-6 && abs(along) < 2e-7, "\(along)")

    // The other way, along the outputs.
    let wide = StoredWeights(rows: I, columns: O, type: type, &numbers)
    let (long, DX) = (numbers.floats(N * I), GuardedTensor(ops, N, O))
    let DY = GuardedTensor(ops, N, I, long)
    ops.linearBackward(dx: DX.tensor, dy: DY.tensor, weight: ops.makeMatrix(wide.matrix))
    var transposed = [Double](repeating: 0, count: I * O)
    for i in 0..<I { for o in 0..<O { transposed[o * I + i] = wide.values[i * O + o] } }
    #expect(relativeL2(DX.values(), Oracle.linear(doubles(long), transposed, inputs: I, outputs: O)) < 1e-6)
    for (tensor, values) in [(X, x), (DY, long)] { expectUnchanged(tensor, values) }
  }

  /// Rows between 1e-7 and 1e5, one of nothing but zeros, and within a row numbers as far apart: each row is as exact as
  /// the others, but for those of less than 2⁻²⁸ of the largest.
  @Test(arguments: [ElementType.bf16, .f32], TestDevice.splitting)
  func rowsOfAnySize(type: ElementType, device: TestDevice) throws {
    let (I, O) = (96, 33)
    var numbers = SeededNumbers(seed: 32)
    let half = StoredWeights(rows: O, columns: I, type: type, &numbers)
    let sizes: [Float] = [1e5, 1, 0, 1e-2, 3e4, 1e-3]
    var x = sizes.flatMap { size in numbers.floats(I).map { $0 * size } }
    x[3 * I + 7] = 9e4
    let ops = try device.makeOperations()
    let (X, Y) = (GuardedTensor(ops, sizes.count, I, x), GuardedTensor(ops, sizes.count, O))
    ops.linear(y: Y.tensor, x: X.tensor, weight: ops.makeMatrix(half.matrix))
    let (found, expected) = (Y.values(), Oracle.linear(doubles(x), half.values, inputs: I, outputs: O))
    for row in sizes.indices where sizes[row] > 0 {
      let error = relativeL2(Array(found[row * O..<(row + 1) * O]), Array(expected[row * O..<(row + 1) * O]))
      #expect(error < 1e-6, "row \(row): \(error)")
    }
    #expect(found[2 * O..<3 * O].allSatisfy { $0 == 0 })
  }

  /// The scale follows from the largest magnitude, of whatever sign: halves end at four times what it is scaled to.
  @Test(arguments: [-3000, 3000] as [Float], TestDevice.splitting)
  func oneLargeNumber(_ large: Float, device: TestDevice) throws {
    let (N, I, O) = (3, 50, 7)
    var numbers = SeededNumbers(seed: 38)
    let weights = StoredWeights(rows: O, columns: I, type: .bf16, &numbers)
    var x = numbers.floats(N * I)
    x[I + 4] = large
    let ops = try device.makeOperations()
    let Y = GuardedTensor(ops, N, O)
    ops.linear(y: Y.tensor, x: GuardedTensor(ops, N, I, x).tensor, weight: ops.makeMatrix(weights.matrix))
    #expect(relativeL2(Y.values(), Oracle.linear(doubles(x), weights.values, inputs: I, outputs: O)) < 1e-6)
  }

  /// The scale is that of the rows themselves, whatever was split before.
  @Test(arguments: TestDevice.splitting) func rowsBehindLargerOnes(device: TestDevice) throws {
    let (N, I, O) = (3, 50, 7)
    var numbers = SeededNumbers(seed: 40)
    let weights = StoredWeights(rows: O, columns: I, type: .bf16, &numbers)
    let ops = try device.makeOperations()
    let weight = ops.makeMatrix(weights.matrix)
    for scale in [1e12, 1e9, 1, 1e-6] as [Float] {
      let x = numbers.floats(N * I, scale: scale)
      let Y = GuardedTensor(ops, N, O)
      ops.linear(y: Y.tensor, x: GuardedTensor(ops, N, I, x).tensor, weight: weight)
      #expect(relativeL2(Y.values(), Oracle.linear(doubles(x), weights.values, inputs: I, outputs: O)) < 1e-6)
    }
  }

  /// Weights that halves have no more than 4 bits for as they are, or are too small for, are scaled by the largest of them.
  @Test(arguments: [1e-6, 1e-12] as [Float], TestDevice.splitting)
  func smallWeights(_ scale: Float, device: TestDevice) throws {
    let (N, I, O) = (3, 50, 7)
    var numbers = SeededNumbers(seed: 39)
    let weights = StoredWeights(rows: O, columns: I, type: .bf16, scale: scale, &numbers)
    let x = numbers.floats(N * I)
    let ops = try device.makeOperations()
    let Y = GuardedTensor(ops, N, O)
    ops.linear(y: Y.tensor, x: GuardedTensor(ops, N, I, x).tensor, weight: ops.makeMatrix(weights.matrix))
    #expect(relativeL2(Y.values(), Oracle.linear(doubles(x), weights.values, inputs: I, outputs: O)) < 1e-6)
  }

  /// Columns of a matrix of Float whose sizes are as far apart as those of features that are dead and of such that are
  /// not; the low part of a product alone would do for none.
  @Test(arguments: TestDevice.splitting) func columnsOfAnySize(device: TestDevice) throws {
    let (N, I) = (7, 130)
    var numbers = SeededNumbers(seed: 36)
    let sizes: [Float] = [300, 1, 1e-3, 0, 2e-6]
    let weights = sizes.flatMap { size in numbers.floats(I).map { $0 * size } }
    let x = numbers.floats(N * I)
    let ops = try device.makeOperations()
    let weight = ops.makeMatrix(Matrix(GuardedTensor(try CPUOperations(threads: 1), sizes.count, I, weights).tensor))
    let Y = GuardedTensor(ops, N, sizes.count)
    ops.linear(y: Y.tensor, x: GuardedTensor(ops, N, I, x).tensor, weight: weight)
    let expected = Oracle.linear(doubles(x), doubles(weights), inputs: I, outputs: sizes.count)
    for column in sizes.indices {
      let found = (0..<N).map { Y.values()[$0 * sizes.count + column] }
      let exact = (0..<N).map { expected[$0 * sizes.count + column] }
      #expect(sizes[column] == 0 ? found.allSatisfy { $0 == 0 } : relativeL2(found, exact) < 1e-6, "column \(column)")
    }
  }

  /// NaN and infinity stay in their rows.
  @Test(arguments: TestDevice.splitting) func whatIsNotANumberStaysInItsRow(device: TestDevice) throws {
    var numbers = SeededNumbers(seed: 33)
    let (I, O) = (40, 3)
    let half = StoredWeights(rows: O, columns: I, type: .f16, &numbers)
    var x = numbers.floats(3 * I)
    (x[4], x[I + 5]) = (.nan, .infinity)
    let ops = try device.makeOperations()
    let Y = GuardedTensor(ops, 3, O)
    ops.linear(y: Y.tensor, x: GuardedTensor(ops, 3, I, x).tensor, weight: ops.makeMatrix(half.matrix))
    let last = Oracle.linear(doubles(Array(x[(2 * I)...])), half.values, inputs: I, outputs: O)
    #expect(
      Y.values()[..<(2 * O)].allSatisfy { !$0.isFinite } && relativeL2(Array(Y.values()[(2 * O)...]), last) < 1e-6)
  }

  /// Several matrices at once, of other sizes of weights and one of Float, give what they give one by one.
  @Test(arguments: TestDevice.splitting) func severalMatricesOfTheSameRows(device: TestDevice) throws {
    var numbers = SeededNumbers(seed: 34)
    let (N, I) = (5, 70)
    let halves = [17, 40, 3, 5, 8].map {
      StoredWeights(rows: $0, columns: I, type: .bf16, scale: Float($0 * $0), &numbers)
    }
    let ops = try device.makeOperations()
    let (x, w, b) = (numbers.floats(N * I), numbers.floats(9 * I), numbers.floats(17))
    let (X, W, B) = (GuardedTensor(ops, N, I, x), GuardedTensor(ops, 9, I, w), GuardedTensor(ops, 1, 17, b))
    let matrices = halves.map { ops.makeMatrix($0.matrix).transposed } + [Matrix(W.tensor).transposed]
    let together = matrices.map { GuardedTensor(ops, N, $0.columns) }
    let alone = matrices.map { GuardedTensor(ops, N, $0.columns) }
    ops.products(
      matrices.indices.map { LinearMap(y: together[$0].tensor, matrix: matrices[$0], bias: $0 == 0 ? B.tensor : nil) },
      of: X.tensor)
    for index in matrices.indices {
      ops.product(
        y: alone[index].tensor, x: X.tensor, matrix: matrices[index], bias: index == 0 ? B.tensor : nil,
        accumulate: false)
      #expect(together[index].values() == alone[index].values())
    }
    let expected = Oracle.linear(doubles(x), halves[0].values, inputs: I, outputs: 17).enumerated().map {
      $1 + Double(b[$0 % 17])
    }
    #expect(relativeL2(together[0].values(), expected) < 1e-6)
  }

  /// A head in half precision or in two parts of it, by tiles and at once, its prominent words among them.
  @Test(arguments: [nil, 3] as [Float?], [ElementType.bf16, .f32])
  func crossEntropyOfAHeadInHalves(softCap: Float?, type: ElementType) throws {
    let (N, D, V) = (9, 24, 1301)
    var numbers = SeededNumbers(seed: 35)
    let head = StoredWeights(rows: V, columns: D, type: type, &numbers)
    // The sizes of rows make words between nearly equal and all but certain.
    let x = (0..<N).flatMap { row in numbers.floats(D, scale: Float(1 << row) / 8) }
    let targets = (0..<N).map { $0 % 4 == 3 ? -1 : Int32($0 * 137 % V) }
    let rows = (0..<N).map { doubles(Array(x[$0 * D..<($0 + 1) * D])) }
    let losses = rows.indices.map {
      Oracle.crossEntropy(rows[$0], w: head.values, target: targets[$0], softCap: softCap)
    }
    let gradients = rows.indices.map {
      Oracle.crossEntropyGradient(rows[$0], w: head.values, target: targets[$0], softCap: softCap)
    }
    for device in TestDevice.splitting {
      let ops = try device.makeOperations()
      let found = try CrossEntropyTests.run(x, head: ops.makeMatrix(head.matrix), targets, softCap: softCap, on: ops)
      #expect(relativeL2(found.losses, losses) < 1e-6)
      for row in 0..<N where targets[row] >= 0 {
        let error = relativeL2(Array(found.dx[row * D..<(row + 1) * D]), gradients[row])
        #expect(error < 1e-5, "\(device.testDescription), row \(row): \(error)")
      }
    }
  }

  /// What the weights of all words have in common, ten times as much as they differ by, is in the sum over words and in the
  /// target's weights: were its shrinking not made up for, the difference would be off by 5e-5.
  @Test(arguments: TestDevice.splitting) func whatAllWordsHaveInCommon(device: TestDevice) throws {
    let (N, D, V) = (5, 12, 4096)
    var numbers = SeededNumbers(seed: 37)
    let common = numbers.floats(D).map { $0 < 0 ? $0 - 10 : $0 + 10 }
    let weights = numbers.floats(V * D).enumerated().map { common[$0 % D] + $1 }
    let x = numbers.floats(N * D, scale: 0.02)
    let targets = (0..<N).map { Int32($0 * 811) }
    let ops = try device.makeOperations()
    let head = ops.makeMatrix(Matrix(GuardedTensor(try CPUOperations(threads: 1), V, D, weights).tensor))
    let found = try CrossEntropyTests.run(x, head: head, targets, softCap: nil, on: ops)
    for row in 0..<N {
      let own = doubles(Array(x[row * D..<(row + 1) * D]))
      let exact = Oracle.crossEntropyGradient(own, w: doubles(weights), target: targets[row], softCap: nil)
      let error = relativeL2(Array(found.dx[row * D..<(row + 1) * D]), exact)
      #expect(error < 1.2e-5, "row \(row): \(error)")
    }
  }
}
