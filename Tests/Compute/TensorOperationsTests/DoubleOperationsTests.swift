import Foundation
import TensorFiles
import TensorOperations
import TestSupport
import Testing

/// The passes' operations in Double, for few rows and for whole passes.
@Suite struct DoubleOperationsTests {
  private static func all() throws -> [DoubleOperations] {
    try threadCounts.flatMap {
      [DoubleOperations(threads: $0), try DoubleOperations.forWholePasses(threads: $0)]
    }
  }

  private func tensor(_ operations: DoubleOperations, _ rows: Int, _ values: [Double]) -> Tensor {
    let tensor = operations.makeTensor(rows: rows, columns: values.count / rows)
    operations.upload(tensor, from: values)
    return tensor
  }

  private func values(_ tensor: Tensor) -> [Double] {
    Array(UnsafeBufferPointer(start: tensor.doubles, count: tensor.count))
  }

  /// Beyond the 512 rows and columns of a matrix that are widened at a time, and below the size where OpenBLAS has other
  /// kernels.
  @Test(
    arguments: [(1, 5, 16), (7, 600, 1100), (130, 1030, 33), (2, 1, 1)], [ElementType.f32, .bf16, .f16]
  )
  func products(shape: (rows: Int, inputs: Int, outputs: Int), type: ElementType) throws {
    let (N, I, O) = shape
    var numbers = SeededNumbers(seed: UInt64(N + I))
    let weights = StoredWeights(rows: O, columns: I, type: type, &numbers)
    let (x, dy) = (doubles(numbers.floats(N * I)), doubles(numbers.floats(N * O)))
    let (b, earlier) = (doubles(numbers.floats(O)), doubles(numbers.floats(N * I)))
    let product = Oracle.linear(x, weights.values, inputs: I, outputs: O).enumerated().map { $1 + b[$0 % O] }
    var dx = earlier
    for n in 0..<N { for o in 0..<O { for i in 0..<I { dx[n * I + i] += dy[n * O + o] * weights.values[o * I + i] } } }
    for ops in try Self.all() {
      let (Y, DX) = (ops.makeTensor(rows: N, columns: O), tensor(ops, N, earlier))
      ops.linear(y: Y, x: tensor(ops, N, x), weight: weights.matrix, bias: tensor(ops, 1, b))
      ops.linearBackward(dx: DX, dy: tensor(ops, N, dy), weight: weights.matrix, accumulate: true)
      #expect(relativeL2(values(Y), product) < 1e-14)
      #expect(relativeL2(values(DX), dx) < 1e-14)
    }
  }

  /// A row's numbers have the same bits whatever other rows there are, and on however many threads.
  @Test(arguments: [true, false]) func rowsByThemselves(wholePasses: Bool) throws {
    let (N, I, O) = (300, 70, 530)
    var numbers = SeededNumbers(seed: 3)
    let weights = StoredWeights(rows: O, columns: I, type: .bf16, &numbers)
    let x = doubles(numbers.floats(N * I))
    var expected: [Double]?
    for threads in threadCounts {
      let ops = try wholePasses ? DoubleOperations.forWholePasses(threads: threads) : DoubleOperations(threads: threads)
      for parts in [1, 3, 100] {
        var all: [Double] = []
        for part in 0..<parts {
          let rows = N * part / parts..<N * (part + 1) / parts
          let Y = ops.makeTensor(rows: rows.count, columns: O)
          ops.linear(
            y: Y, x: tensor(ops, rows.count, Array(x[rows.lowerBound * I..<rows.upperBound * I])),
            weight: weights.matrix)
          all += values(Y)
        }
        #expect(all == expected ?? all)
        expected = all
      }
    }
  }

  /// More logits than are held at a time.
  @Test func crossEntropyByParts() throws {
    let (N, D, V) = (250, 2, 80_000)
    var numbers = SeededNumbers(seed: 9)
    let head = StoredWeights(rows: V, columns: D, type: .f32, &numbers)
    let x = doubles(numbers.floats(N * D))
    let targets = (0..<N).map { $0 % 50 == 7 ? Int32(-1) : Int32($0 * 311 % V) }
    let ops = try DoubleOperations.forWholePasses(threads: 2)
    let (X, DX) = (tensor(ops, N, x), ops.makeTensor(rows: N, columns: D))
    let losses = ops.crossEntropy(dx: DX, x: X, head: head.matrix, targets: targets, softCap: nil)()
    #expect(ops.crossEntropy(dx: nil, x: X, head: head.matrix, targets: targets, softCap: nil)() == losses)
    for row in [0, 7, 100, N - 1] {
      let z = (0..<V).map { v in (0..<D).reduce(0) { $0 + x[row * D + $1] * head.values[v * D + $1] } }
      let total = z.reduce(0) { $0 + exp($1) }
      let target = Int(targets[row])
      let loss = target < 0 ? 0 : log(total) - z[target]
      #expect(abs(losses[row] - loss) < 1e-12 * max(loss, 1), "\(row)")
      let dx = (0..<D).map { d in
        target < 0
          ? 0
          : (0..<V).reduce(0) {
            $0 + (exp(z[$1]) / total - ($1 == target ? 1 : 0)) * head.values[$1 * D + d]
          }
      }
      let found = Array(values(DX)[row * D..<(row + 1) * D])
      #expect(zip(found, dx).allSatisfy { abs($0 - $1) < 1e-12 }, "\(row): \(found), expected \(dx)")
    }
  }

  /// What is uploaded in Double is rounded where a device has Float.
  @Test(arguments: TestDevice.all) func uploadsInDouble(device: TestDevice) throws {
    let ops = try device.makeOperations()
    let x = [0.1, -2.5, 1e-300, 16_777_217]
    let X = GuardedTensor(ops, 2, 2)
    ops.upload(X.tensor, from: x)
    #expect(X.values() == x.map { Float($0) })
    let exact = ops.makeDoubleOperations()
    #expect(values(tensor(exact, 2, x)) == x)
  }
}
