import CUDAOperations
import TensorOperations
import TestSupport
import Testing

/// The largest magnitude that rows are split by, where the operations that make the rows find it.
///
/// With one that is too small the largest number becomes infinite, and with one that is too large small rows lose bits.
/// So products have to be those of a copy of the rows, of which nothing is known, to the bit.
@Suite(.enabled(if: !TestDevice.splitting.isEmpty, "\(StandInGPU.absence)"))
struct KnownMagnitudeTests {
  static let shapes = [(1, 5), (4, 34), (7, 84), (13, 300)]

  /// Rows of four sizes, of which one number is 4,096 times as large as the largest of the others.
  private static func rows(_ N: Int, _ W: Int, largest: Int, _ numbers: inout SeededNumbers) -> [Float] {
    let sizes: [Float] = [1, 0x1p-31, 0x1p-9, 0x1p-20]
    var rows = (0..<N).flatMap { numbers.floats(W, scale: sizes[$0 % 4]) }
    rows[largest] = -4096
    return rows
  }

  /// What `make` makes again and again, multiplied the second time.
  private func check(
    _ ops: any TensorOperations, _ made: [GuardedTensor], isFinite: Bool = true,
    _ location: SourceLocation = #_sourceLocation, by make: () -> Void
  ) {
    var numbers = SeededNumbers(seed: 51)
    let weights = made.map { StoredWeights(rows: 6, columns: $0.tensor.columns, type: .bf16, &numbers) }
    let matrices = weights.map { ops.makeMatrix($0.matrix) }
    func products(_ tensors: [GuardedTensor]) -> [[UInt32]] {
      let products = zip(tensors, matrices).map { tensor, matrix in
        let y = GuardedTensor(ops, tensor.tensor.rows, 6)
        ops.linear(y: y.tensor, x: tensor.tensor, weight: matrix)
        return y.values(location)
      }
      if isFinite { #expect(products.joined().allSatisfy { $0.isFinite }, sourceLocation: location) }
      return products.map { $0.map(\.bitPattern) }
    }
    make()
    // From here on it is known that somebody asks.
    _ = products(made)
    make()
    let found = products(made)
    let copies = made.map { GuardedTensor(ops, $0.tensor.rows, $0.tensor.columns, $0.values(location)) }
    #expect(found == products(copies), sourceLocation: location)
  }

  @Test(arguments: shapes, TestDevice.splitting)
  func ofNorms(_ shape: (rows: Int, columns: Int), _ device: TestDevice) throws {
    let (N, D) = shape
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 41)
    for largest in [0, N * D / 2, N * D - 1] {
      // Rows that are small beside ε stay so.
      let x = Self.rows(N, D, largest: largest, &numbers).map { $0 * 0x1p-9 }
      let dy = Self.rows(N, D, largest: largest, &numbers)
      let (X, DY) = (GuardedTensor(ops, N, D, x), GuardedTensor(ops, N, D, dy))
      let (W, B) = (
        GuardedTensor(ops, 1, D, numbers.floats(D)), GuardedTensor(ops, 1, D, numbers.floats(D, scale: 1e-5))
      )
      let (Y, R, DX) = (GuardedTensor(ops, N, D), GuardedTensor(ops, N, 1), GuardedTensor(ops, N, D))
      for (norm, bias) in [(Normalization.rms(epsilon: 1e-2, offset: 1), nil), (.layer(epsilon: 1e-2), B)] {
        check(ops, [Y]) {
          ops.normalize(y: Y.tensor, statistics: R.tensor, x: X.tensor, weight: W.tensor, bias: bias?.tensor, norm)
        }
        for accumulate in [false, true] {
          check(ops, [DX]) {
            ops.upload(DX.tensor, from: x)
            ops.normalizeBackward(
              dx: DX.tensor, dy: DY.tensor, statistics: R.tensor, x: X.tensor, weight: W.tensor, norm,
              accumulate: accumulate)
          }
        }
      }
      for rule in RebuiltRowTests.rules {
        let scalings = ops.makeTensor(rows: N, columns: InputNormalization.Scaling.columns)
        check(ops, [Y]) { ops.normalizeInput(Y.tensor, scalings: scalings, x: X.tensor, rule, bias: B.tensor) }
      }
    }
  }

  @Test(arguments: shapes, TestDevice.splitting)
  func ofActivationFunctions(_ shape: (rows: Int, columns: Int), _ device: TestDevice) throws {
    let (N, F) = shape
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 42)
    let (G, U, Y) = (GuardedTensor(ops, N, F), GuardedTensor(ops, N, F), GuardedTensor(ops, N, F))
    for (function, largest) in [(ActivationFunction.silu, 0), (.gelu, N * F / 2), (.relu, N * F - 1)] {
      let (gate, up) = (
        numbers.floats(N * F).map(\.magnitude), Self.rows(N, F, largest: largest, &numbers)
      )
      let dy = Self.rows(N, F, largest: largest, &numbers)
      let (DY, plain) = (GuardedTensor(ops, N, F, dy), up.map(\.magnitude))
      check(ops, [Y]) {
        ops.upload(G.tensor, from: gate)
        ops.upload(U.tensor, from: up)
        ops.activate(y: Y.tensor, gate: G.tensor, up: U.tensor, by: function)
      }
      check(ops, [Y]) {
        ops.upload(G.tensor, from: plain)
        ops.activate(y: Y.tensor, gate: G.tensor, up: nil, by: function)
      }
      // In their inputs' place, as the passes have it, and the two magnitudes far apart.
      check(ops, [G, U]) {
        ops.upload(G.tensor, from: gate)
        ops.upload(U.tensor, from: up)
        ops.activateBackward(
          dGate: G.tensor, dUp: U.tensor, dy: DY.tensor, gate: G.tensor, up: U.tensor, by: function)
      }
      check(ops, [G]) {
        ops.upload(G.tensor, from: gate)
        ops.activateBackward(dGate: G.tensor, dUp: nil, dy: DY.tensor, gate: G.tensor, up: nil, by: function)
      }
    }
  }

  /// Infinity and NaN have no part in it.
  @Test(arguments: TestDevice.splitting) func ofWhatIsNotFinite(device: TestDevice) throws {
    let (N, F) = (4, 84)
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 43)
    var up = Self.rows(N, F, largest: 5, &numbers)
    (up[F + 9], up[2 * F + 30]) = (.infinity, .nan)
    let (G, U) = (GuardedTensor(ops, N, F, numbers.floats(N * F)), GuardedTensor(ops, N, F, up))
    let Y = GuardedTensor(ops, N, F)
    check(ops, [Y], isFinite: false) { ops.activate(y: Y.tensor, gate: G.tensor, up: U.tensor, by: .silu) }
  }

  /// The last head's last dimension, which is not turned where only a part of each head is, is the largest.
  @Test(arguments: [14, 6], TestDevice.splitting) func ofTurnedRows(turned: Int, device: TestDevice) throws {
    let (N, W, headWidth) = (13, 84, 14)
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 44)
    // At position 0 nothing is turned: the two of a pair keep their sizes.
    for largest in [0, 13, N * W - 1] {
      let (x, X) = (Self.rows(N, W, largest: largest, &numbers), GuardedTensor(ops, N, W))
      for isBackward in [false, true] {
        check(ops, [X]) {
          ops.upload(X.tensor, from: x)
          ops.rotate(
            x: X.tensor, positions: Array(0..<Int32(N)), headWidth: headWidth,
            inverseFrequencies: (0..<turned / 2).map { 1 / Double($0 + 1) }, isBackward: isBackward)
        }
      }
    }
  }

  /// Samples of different sizes, the largest number in a last row that one query head sees, or all of a key head.
  @Test(arguments: [0, 1, 3, 7, 8], TestDevice.splitting) func ofAttention(_ number: Int, device: TestDevice) throws {
    let shape = AttentionTests.shapes[number]
    let lengths = [3, 66, 7, 5]
    let samples = AttentionTests.Layout(padded: lengths.map { ($0, $0) }).packed
    let N = samples.rowCount
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 45)
    func rows(_ width: Int) -> [Float] {
      var rows = zip(lengths, [0x1p-31, 1, 0x1p-20, 0x1p-9] as [Float]).flatMap {
        numbers.floats($0 * width, scale: $1)
      }
      rows[69 * width - 1] = 65_536
      return rows
    }
    let keys = numbers.floats(N * shape.keyValueWidth)
    let (Q, K) = (
      GuardedTensor(ops, N, shape.queryWidth, numbers.floats(N * shape.queryWidth)),
      GuardedTensor(ops, N, shape.keyValueWidth, keys)
    )
    let V = GuardedTensor(ops, N, shape.keyValueWidth, rows(shape.keyValueWidth))
    let (O, L) = (GuardedTensor(ops, N, shape.queryWidth), GuardedTensor(ops, N, 2 * shape.heads))
    check(ops, [O]) {
      ops.attention(
        output: O.tensor, logSumExp: L.tensor, query: Q.tensor, key: K.tensor, value: V.tensor, samples: samples,
        shape: shape)
    }
    let DO = GuardedTensor(ops, N, shape.queryWidth, rows(shape.queryWidth))
    let DQ = GuardedTensor(ops, N, shape.queryWidth)
    let (DK, DV) = (GuardedTensor(ops, N, shape.keyValueWidth), GuardedTensor(ops, N, shape.keyValueWidth))
    check(ops, [DQ, DK, DV]) {
      ops.attentionBackward(
        dQuery: DQ.tensor, dKey: DK.tensor, dValue: DV.tensor, dOutput: DO.tensor, output: O.tensor,
        logSumExp: L.tensor, query: Q.tensor, key: K.tensor, value: V.tensor, samples: samples, shape: shape)
    }
  }

  /// Whatever else writes to a tensor, to a part of it or to memory that it is a part of.
  @Test(arguments: TestDevice.splitting) func whatIsWrittenOverIsForgotten(device: TestDevice) throws {
    let (N, D) = (5, 34)
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 46)
    let (x, large) = (numbers.floats(N * D), numbers.floats(N * D, scale: 1e7))
    let (X, L) = (GuardedTensor(ops, N, D, x), GuardedTensor(ops, N, D, large))
    let (W, R) = (GuardedTensor(ops, 1, D, numbers.floats(D)), GuardedTensor(ops, N, 1))
    let Y = GuardedTensor(ops, N, D)
    let halves = StoredWeights(rows: D, columns: D, type: .bf16, &numbers)
    let square = ops.makeMatrix(halves.matrix)
    let floats = Matrix(GuardedTensor(ops, D, D, numbers.floats(D * D)).tensor)
    let positions = (0..<Int32(N)).map { $0 }
    // Of which y is rows 1 to 3.
    let whole = Tensor(rows: N + 4, columns: D, address: Y.tensor.address - D, owner: Y.tensor.owner)
    let all = GuardedTensor(ops, N + 4, D, numbers.floats((N + 4) * D, scale: 1e7))
    precondition(GuardedTensor.margins[0] >= D)
    let writers: [(name: String, write: () -> Void)] = [
      ("upload", { ops.upload(Y.tensor, from: large) }),
      ("copy", { ops.copy(Y.tensor, from: L.tensor) }),
      ("copy to a row", { ops.copy(Y.tensor.rows(2..<3), from: L.tensor.first(rows: 1)) }),
      ("sum", { ops.add(Y.tensor, L.tensor) }),
      ("product of halves", { ops.linear(y: Y.tensor, x: L.tensor, weight: square) }),
      (
        "product of halves that is added",
        { ops.linearBackward(dx: Y.tensor, dy: L.tensor, weight: square, accumulate: true) }
      ),
      ("product", { ops.linear(y: Y.tensor, x: L.tensor, weight: floats) }),
      ("replaced rows", { ops.replaceRows(Y.tensor, rows: [1, 4], by: L.tensor.first(rows: 2)) }),
      ("gathered rows", { ops.gatherRows(Y.tensor, from: L.tensor, rows: [4, 3, 2, 1, 0]) }),
      (
        "turned rows and a sum",
        {
          ops.rotate(x: Y.tensor, positions: positions, headWidth: 2, inverseFrequencies: [1])
          ops.add(Y.tensor, L.tensor)
        }
      ),
      (
        "rows around it",
        { ops.gatherRows(whole.part(rows: N + 2, columns: D), from: all.tensor, rows: (0..<Int32(N + 2)).map { $0 }) }
      ),
    ]
    let weights = StoredWeights(rows: 6, columns: D, type: .bf16, &numbers)
    let weight = ops.makeMatrix(weights.matrix)
    func product(_ x: Tensor) -> [Float] {
      let y = GuardedTensor(ops, N, 6)
      ops.linear(y: y.tensor, x: x, weight: weight)
      return y.values()
    }
    func make() {
      ops.normalize(
        y: Y.tensor, statistics: R.tensor, x: X.tensor, weight: W.tensor, bias: nil, .rms(epsilon: 1e-6, offset: 0))
    }
    make()
    _ = product(Y.tensor)
    for (name, write) in writers {
      make()
      write()
      let found = product(Y.tensor)
      // The margins have changed where more was written than y.
      var values = [Float](repeating: 0, count: N * D)
      ops.download(&values, from: Y.tensor)
      #expect(found == product(GuardedTensor(ops, N, D, values).tensor) && found.allSatisfy { $0.isFinite }, "\(name)")
      #expect(values.contains { $0.magnitude > 1e4 }, "\(name)")
    }
  }

  /// The first rows have a largest magnitude of their own.
  @Test(arguments: TestDevice.splitting) func ofTheFirstRows(device: TestDevice) throws {
    let (N, F) = (7, 84)
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 47)
    let (gate, up) = (numbers.floats(N * F), Self.rows(N, F, largest: N * F - 1, &numbers))
    let (G, U, Y) = (GuardedTensor(ops, N, F, gate), GuardedTensor(ops, N, F, up), GuardedTensor(ops, N, F))
    let halves = StoredWeights(rows: 6, columns: F, type: .bf16, &numbers)
    let weight = ops.makeMatrix(halves.matrix)
    func product(_ x: Tensor) -> [UInt32] {
      let y = GuardedTensor(ops, x.rows, 6)
      ops.linear(y: y.tensor, x: x, weight: weight)
      return y.values().map(\.bitPattern)
    }
    for rows in [N, 2, N] {
      ops.activate(y: Y.tensor, gate: G.tensor, up: U.tensor, by: .silu)
      let first = GuardedTensor(ops, rows, F, Array(Y.values()[..<(rows * F)]))
      #expect(product(Y.tensor.first(rows: rows)) == product(first.tensor))
    }
  }

  /// There are places for so many magnitudes at a time; what was in one before is neither kept nor taken for another's.
  @Test(arguments: [100, 127, 128, 129, 255, 256, 300], TestDevice.splitting)
  func whileOthersAreFound(count: Int, device: TestDevice) throws {
    let (N, F) = (4, 34)
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 48)
    let up = Self.rows(N, F, largest: 7, &numbers)
    let (G, U, Y) = (
      GuardedTensor(ops, N, F, numbers.floats(N * F)), GuardedTensor(ops, N, F, up), GuardedTensor(ops, N, F)
    )
    let others = GuardedTensor(try CPUOperations(threads: 1), 2, 3, [1e9, 1, 2, 3, 4, 5])
    check(ops, [Y]) {
      ops.activate(y: Y.tensor, gate: G.tensor, up: U.tensor, by: .silu)
      for _ in 0..<count { _ = ops.makeMatrix(Matrix(others.tensor)) }
    }
  }
}
