import TensorOperations
import TestSupport
import Testing

@Suite struct AttentionTests {
  /// Samples of a batch, each as (rows, real ones of them).
  struct Layout: Sendable, CustomTestStringConvertible {
    let samples: [(rows: Int, valid: Int)]

    init(_ lengths: Int...) { samples = lengths.map { ($0, $0) } }
    init(padded samples: [(Int, Int)]) { self.samples = samples.map { (rows: $0.0, valid: $0.1) } }

    var packed: PackedSamples {
      var start = 0
      return PackedSamples(
        samples.map { sample in
          defer { start += sample.rows }
          return .init(rows: start..<start + sample.rows, valid: sample.valid)
        })
    }

    var testDescription: String { samples.map { "\($0.valid) of \($0.rows)" }.joined(separator: ", ") }
  }

  static let shapes = [
    AttentionShape(heads: 6, keyValueHeads: 2, headWidth: 14),
    AttentionShape(heads: 4, keyValueHeads: 4, headWidth: 2),
    AttentionShape(heads: 1, keyValueHeads: 1, headWidth: 64),
    AttentionShape(heads: 3, keyValueHeads: 1, headWidth: 5, scale: 0.7, softCap: 4, window: 3),
    AttentionShape(heads: 2, keyValueHeads: 1, headWidth: 6, scale: 1, softCap: 9),
    AttentionShape(heads: 2, keyValueHeads: 2, headWidth: 4, window: 129),
    AttentionShape(heads: 1, keyValueHeads: 1, headWidth: 3, window: 1),
    // Two pieces of 64 columns on a GPU, the second of them not full.
    AttentionShape(heads: 2, keyValueHeads: 1, headWidth: 80),
    // Beyond the 128 columns that a GPU's block holds of a head.
    AttentionShape(heads: 2, keyValueHeads: 1, headWidth: 129, scale: 0.08, softCap: 6, window: 40),
  ]
  /// Lengths around the 128 rows and keys of a tile (64 on a GPU, of strips of 16), and beyond two tiles.
  static let layouts = [
    Layout(1), Layout(3), Layout(7), Layout(128), Layout(129), Layout(300), Layout(3, 1, 129, 7),
    Layout(64, 65, 16, 17),
    Layout(padded: [(140, 129), (5, 1), (9, 9)]), Layout(padded: [(300, 128), (1, 1), (260, 3)]),
    Layout(padded: [(2, 0), (5, 4), (150, 0), (3, 3)]),
  ]

  struct Inputs {
    let samples: PackedSamples
    let shape: AttentionShape
    let q: [Float]
    let k: [Float]
    let v: [Float]
    let dOutput: [Float]

    init(_ layout: Layout, _ shape: AttentionShape, scale: Float = 2) {
      samples = layout.packed
      self.shape = shape
      let N = samples.rowCount
      var numbers = SeededNumbers(seed: UInt64(N * 100 + shape.heads))
      q = numbers.floats(N * shape.queryWidth, scale: scale)
      k = numbers.floats(N * shape.keyValueWidth, scale: scale)
      v = numbers.floats(N * shape.keyValueWidth)
      dOutput = numbers.floats(N * shape.queryWidth)
    }

    init(samples: PackedSamples, shape: AttentionShape, q: [Float], k: [Float], v: [Float], dOutput: [Float]) {
      (self.samples, self.shape, self.q, self.k, self.v, self.dOutput) = (samples, shape, q, k, v, dOutput)
    }

    /// Σ dOutput ∘ output, whose gradients the backward pass computes.
    func loss(q: [Double], k: [Double], v: [Double]) -> Double {
      dot(Oracle.attention(q, k, v, samples, shape).output, doubles(dOutput))
    }
  }

  struct Results {
    let output: [Float]
    /// (N, heads): the sum of its two parts.
    let logSumExp: [Double]
    let dq: [Float]
    let dk: [Float]
    let dv: [Float]

    init(_ inputs: Inputs, on device: TestDevice) throws {
      let ops = try device.makeOperations()
      let N = inputs.samples.rowCount
      let (queryWidth, keyWidth) = (inputs.shape.queryWidth, inputs.shape.keyValueWidth)
      let (Q, K) = (GuardedTensor(ops, N, queryWidth, inputs.q), GuardedTensor(ops, N, keyWidth, inputs.k))
      let (V, DO) = (GuardedTensor(ops, N, keyWidth, inputs.v), GuardedTensor(ops, N, queryWidth, inputs.dOutput))
      let (O, L) = (GuardedTensor(ops, N, queryWidth), GuardedTensor(ops, N, 2 * inputs.shape.heads))
      let (DQ, DK, DV) = (
        GuardedTensor(ops, N, queryWidth), GuardedTensor(ops, N, keyWidth), GuardedTensor(ops, N, keyWidth)
      )
      ops.attention(
        output: O.tensor, logSumExp: L.tensor, query: Q.tensor, key: K.tensor, value: V.tensor,
        samples: inputs.samples, shape: inputs.shape)
      output = O.values()
      let parts = L.values()
      logSumExp = stride(from: 0, to: parts.count, by: 2).map { Double(parts[$0]) + Double(parts[$0 + 1]) }
      ops.attentionBackward(
        dQuery: DQ.tensor, dKey: DK.tensor, dValue: DV.tensor, dOutput: DO.tensor, output: O.tensor,
        logSumExp: L.tensor, query: Q.tensor, key: K.tensor, value: V.tensor, samples: inputs.samples,
        shape: inputs.shape)
      (dq, dk, dv) = (DQ.values(), DK.values(), DV.values())
      for (tensor, values) in [
        (Q, inputs.q), (K, inputs.k), (V, inputs.v), (DO, inputs.dOutput), (O, output), (L, parts),
      ] { expectUnchanged(tensor, values) }
    }
  }

  @Test(arguments: layouts, shapes)
  func agreesWithOracle(layout: Layout, shape: AttentionShape) throws {
    let inputs = Inputs(layout, shape)
    let (q, k, v) = (doubles(inputs.q), doubles(inputs.k), doubles(inputs.v))
    let expected = Oracle.attention(q, k, v, inputs.samples, shape)
    let gradients = Oracle.attentionBackward(dOutput: doubles(inputs.dOutput), q, k, v, inputs.samples, shape)
    for device in TestDevice.all {
      let found = try Results(inputs, on: device)
      // Scores of up to 20 have an error of 1e-6, which e^S makes a relative error of 1e-6.
      #expect(relativeL2(found.output, expected.output) < 1e-6)
      #expect(relativeL2(found.logSumExp, expected.logSumExp) < 1e-6)
      #expect(relativeL2(found.dv, gradients.dv) < 2e-6)
      // With one key there is no choice and the gradient is 0, which rounding misses by 1e-7.
      let isChoice = layout.samples.contains { $0.valid > 1 } && shape.window != 1
      for (found, expected) in [(found.dq, gradients.dq), (found.dk, gradients.dk)] {
        let error = isChoice ? relativeL2(found, expected) : Double(found.map(\.magnitude).max()!)
        #expect(error < 2e-6, "\(shape)")
      }
    }
  }

  /// The oracle's gradients are a formula too: this asks the function itself, element by element.
  @Test(arguments: [Layout(3), Layout(3, 1, 2), Layout(padded: [(4, 2), (2, 1), (3, 3), (2, 0)])], shapes)
  func agreesWithFiniteDifferences(layout: Layout, shape: AttentionShape) throws {
    let inputs = Inputs(layout, shape, scale: 1)
    let (q, k, v) = (doubles(inputs.q), doubles(inputs.k), doubles(inputs.v))
    let dq = finiteDifferences(at: q) { inputs.loss(q: $0, k: k, v: v) }
    let dk = finiteDifferences(at: k) { inputs.loss(q: q, k: $0, v: v) }
    let dv = finiteDifferences(at: v) { inputs.loss(q: q, k: k, v: $0) }
    for device in TestDevice.all {
      let found = try Results(inputs, on: device)
      if shape.window != 1 {
        #expect(relativeL2(found.dq, dq) < 2e-6)
        #expect(relativeL2(found.dk, dk) < 2e-6)
      }
      #expect(relativeL2(found.dv, dv) < 2e-6)
    }
  }

  /// And along random directions where a sample has several tiles.
  @Test(arguments: [Layout(129), Layout(300, 5), Layout(padded: [(300, 200), (140, 128)])], shapes)
  func agreesWithFiniteDifferencesAcrossTiles(layout: Layout, shape: AttentionShape) throws {
    let inputs = Inputs(layout, shape)
    let (q, k, v) = (doubles(inputs.q), doubles(inputs.k), doubles(inputs.v))
    for device in TestDevice.all {
      let found = try Results(inputs, on: device)
      if shape.window != 1 {
        #expect(directionalError(of: found.dq, at: q, directions: 2) { inputs.loss(q: $0, k: k, v: v) } < 2e-6)
        #expect(directionalError(of: found.dk, at: k, directions: 2) { inputs.loss(q: q, k: $0, v: v) } < 2e-6)
      }
      #expect(directionalError(of: found.dv, at: v, directions: 2) { inputs.loss(q: q, k: k, v: $0) } < 2e-6)
    }
  }

  /// A sample's numbers are the same in whatever batch it comes.
  @Test(arguments: shapes, TestDevice.all)
  func samplesDoNotSeeEachOther(shape: AttentionShape, device: TestDevice) throws {
    let together = Inputs(Layout(7, 150, 3), shape)
    let found = try Results(together, on: device)
    for rows in [0..<7, 7..<157, 157..<160] {
      func part(_ values: [Float], _ width: Int) -> [Float] {
        Array(values[rows.lowerBound * width..<rows.upperBound * width])
      }
      let (Q, K) = (shape.queryWidth, shape.keyValueWidth)
      let alone = try Results(
        Inputs(
          samples: PackedSamples([.init(rows: 0..<rows.count, valid: rows.count)]), shape: shape,
          q: part(together.q, Q), k: part(together.k, K), v: part(together.v, K), dOutput: part(together.dOutput, Q)),
        on: device)
      #expect(alone.output == part(found.output, Q))
      #expect(alone.dq == part(found.dq, Q))
      #expect(alone.dk == part(found.dk, K))
      #expect(alone.dv == part(found.dv, K))
    }
  }

  /// What the padding holds changes nothing of the real rows' outputs, and no gradient reaches its keys and values.
  @Test(arguments: shapes, TestDevice.all)
  func paddingIsNotSeen(shape: AttentionShape, device: TestDevice) throws {
    let valid = 130
    let layout = Layout(padded: [(200, valid)])
    let inputs = Inputs(layout, shape)
    let (Q, K) = (shape.queryWidth, shape.keyValueWidth)
    let changed = { (values: [Float], width: Int) in
      Array(values[..<(valid * width)]) + values[(valid * width)...].map { -3 * $0 }
    }
    let others = Inputs(
      samples: inputs.samples, shape: shape, q: inputs.q, k: changed(inputs.k, K), v: changed(inputs.v, K),
      dOutput: inputs.dOutput)
    let (found, other) = (try Results(inputs, on: device), try Results(others, on: device))
    #expect(found.output == other.output)
    #expect(found.dq == other.dq)
    for gradient in [found.dk, found.dv] { #expect(gradient[(valid * K)...].allSatisfy { $0 == 0 }) }
    // The padding's own queries look at real keys only, and have an output and a gradient unless they are further than
    // a window behind.
    let end = min(valid + (shape.window ?? 200) - 1, 200)
    #expect(found.output[(valid * Q)..<end * Q].allSatisfy { $0.isFinite && $0 != 0 })
    #expect(found.output[(end * Q)...].allSatisfy { $0 == 0 } && found.dq[(end * Q)...].allSatisfy { $0 == 0 })
  }

  /// Scores from −10⁴ to 10⁴ that are exact in Float, rising and falling from tile to tile.
  @Test(arguments: [1, -1, 10, -10, 300, -300], [nil, 20])
  func largeScores(keyScale: Int, softCap: Float?) throws {
    let shape = AttentionShape(heads: 2, keyValueHeads: 1, headWidth: 64, softCap: softCap)
    let samples = Layout(300).packed
    var numbers = SeededNumbers(seed: 4)
    let whole = { (count: Int, limit: Int) in
      (0..<count).map { _ in Float(Int.random(in: -limit...limit, using: &numbers)) }
    }
    // scale = 1/8 and whole numbers: q·k/8 has three binary places. Key t is about t·keyScale/300 in length.
    let q = whole(300 * 128, 2).map { $0 + 1 }
    let k = whole(300 * 64, 1).enumerated().map { ($1 + Float($0 / 64 / 100)) * Float(keyScale) }
    let inputs = Inputs(
      samples: samples, shape: shape, q: q, k: k, v: numbers.floats(300 * 64), dOutput: numbers.floats(300 * 128))
    let (dq, dk, dv) = (doubles(q), doubles(k), doubles(inputs.v))
    let expected = Oracle.attention(dq, dk, dv, samples, shape)
    let gradients = Oracle.attentionBackward(dOutput: doubles(inputs.dOutput), dq, dk, dv, samples, shape)
    for device in TestDevice.all {
      let found = try Results(inputs, on: device)
      #expect(relativeL2(found.output, expected.output) < 1e-6)
      #expect(relativeL2(found.logSumExp, expected.logSumExp) < 1e-6)
      #expect(relativeL2(found.dv, gradients.dv) < 2e-6)
      #expect(relativeL2(found.dq, gradients.dq) < 2e-6)
      #expect(relativeL2(found.dk, gradients.dk) < 2e-6)
    }
  }

  /// Scores of hundreds that Float does not hold, as trained models have them: rounded to it, gradients are off by 1e-5.
  @Test func largeScoresThatAreNotExactInFloat() throws {
    let inputs = Inputs(Layout(150, 40), AttentionShape(heads: 2, keyValueHeads: 1, headWidth: 64), scale: 20)
    let (q, k, v) = (doubles(inputs.q), doubles(inputs.k), doubles(inputs.v))
    let gradients = Oracle.attentionBackward(dOutput: doubles(inputs.dOutput), q, k, v, inputs.samples, inputs.shape)
    let found = try Results(inputs, on: TestDevice.processors[0])
    #expect(relativeL2(found.output, Oracle.attention(q, k, v, inputs.samples, inputs.shape).output) < 1e-6)
    for (found, expected) in [(found.dq, gradients.dq), (found.dk, gradients.dk), (found.dv, gradients.dv)] {
      #expect(relativeL2(found, expected) < 3e-6)
    }
  }

  /// What lies before a row's window changes nothing of the row, in whatever tile it is.
  @Test(arguments: [1, 3, 40, 128, 129, 200], TestDevice.all)
  func beforeTheWindowIsNotSeen(window: Int, device: TestDevice) throws {
    let shape = AttentionShape(heads: 2, keyValueHeads: 1, headWidth: 6, window: window)
    let inputs = Inputs(Layout(300), shape)
    let (Q, K) = (shape.queryWidth, shape.keyValueWidth)
    let row = 260
    let first = row - window + 1
    func results(changing count: Int) throws -> Results {
      let changed = { (values: [Float]) in values.enumerated().map { $0 < count * K ? -3 * $1 : $1 } }
      return try Results(
        Inputs(
          samples: inputs.samples, shape: shape, q: inputs.q, k: changed(inputs.k), v: changed(inputs.v),
          dOutput: inputs.dOutput), on: device)
    }
    let (plain, before, within) = (
      try results(changing: 0), try results(changing: first), try results(changing: first + 1)
    )
    let part = { (values: [Float]) in Array(values[row * Q..<(row + 1) * Q]) }
    #expect(part(before.output) == part(plain.output) && part(before.dq) == part(plain.dq))
    #expect(part(within.output) != part(plain.output))
  }

  /// A NaN in a row's query spoils that row, in a key or value every row that looks at it.
  @Test(arguments: 0..<4, TestDevice.all)
  func passesNaNOn(input: Int, device: TestDevice) throws {
    let shape = AttentionShape(heads: 2, keyValueHeads: 1, headWidth: 4)
    let layout = Layout(200, 5)
    let plain = Inputs(layout, shape)
    var inputs = [plain.q, plain.k, plain.v, plain.dOutput]
    let width = input == 0 || input == 3 ? 8 : 4
    inputs[input][150 * width + 1] = .nan
    let found = try Results(
      Inputs(
        samples: layout.packed, shape: shape, q: inputs[0], k: inputs[1], v: inputs[2], dOutput: inputs[3]), on: device)
    let rows = { (values: [Float], width: Int) in
      Set(values.indices.filter { values[$0].isNaN }.map { $0 / width })
    }
    switch input {
    case 0: #expect(rows(found.output, 8).contains(150) && rows(found.dq, 8).contains(150))
    case 1, 2: #expect(rows(found.output, 8).isSuperset(of: 150..<200) && rows(found.dq, 8).isSuperset(of: 150..<200))
    default: #expect(rows(found.output, 8).isEmpty && rows(found.dq, 8).contains(150))
    }
    #expect(rows(found.dk, 4).contains(150) && rows(found.dv, 4).contains(150) == (input != 2))
    // No NaN leaves its sample, nor its tile towards earlier ones.
    #expect(rows(found.output, 8).isDisjoint(with: Set(0..<128).union(200..<205)))
    #expect([found.dk, found.dv].allSatisfy { rows($0, 4).isDisjoint(with: 200..<205) })
  }
}
