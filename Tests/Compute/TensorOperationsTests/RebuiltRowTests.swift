import TensorOperations
import TestSupport
import Testing

/// The rows around an autoencoder, against plain loops in Double.
@Suite struct RebuiltRowTests {
  static let shapes = [(1, 2), (7, 16), (130, 33), (65, 300)]
  static let rules: [InputNormalization] = [
    .none, .layerNorm, .constantNorm, .fixed(scale: 0.3, isCentred: false), .fixed(scale: 1.7, isCentred: true),
  ]

  @Test(arguments: shapes, TestDevice.all)
  func rowsAreGatheredAndReplaced(_ shape: (rows: Int, columns: Int), _ device: TestDevice) throws {
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 11)
    let (N, D) = shape
    let x = numbers.floats(N * D)
    let X = GuardedTensor(ops, N, D, x)
    // Backwards, with one of them twice; of other lists, too, than were seen so far.
    for rows in [[Int32(N - 1)], (0..<Int32(N)).reversed() + [0], [], (0..<Int32(N)).filter { $0 % 3 == 0 }] {
      let Y = GuardedTensor(ops, rows.count, D)
      ops.gatherRows(Y.tensor, from: X.tensor, rows: rows)
      #expect(Y.values() == rows.flatMap { x[Int($0) * D..<(Int($0) + 1) * D] })
      let others = Array(Set(rows)).sorted()
      let y = numbers.floats(others.count * D)
      let Z = GuardedTensor(ops, N, D, x)
      ops.replaceRows(Z.tensor, rows: others, by: GuardedTensor(ops, others.count, D, y).tensor)
      var expected = x
      for (place, row) in others.enumerated() {
        expected.replaceSubrange(Int(row) * D..<(Int(row) + 1) * D, with: y[place * D..<(place + 1) * D])
      }
      #expect(Z.values() == expected)
    }
    expectUnchanged(X, x)
  }

  @Test(arguments: rules, TestDevice.all)
  func inputsAreNormalizedAndOutputsScaledBack(_ rule: InputNormalization, _ device: TestDevice) throws {
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 12)
    for (N, D) in Self.shapes {
      let (x, bias) = (numbers.floats(N * D).map { 3 * $0 + 1 }, numbers.floats(D))
      let expected = (0..<N).map { n in
        x[n * D..<(n + 1) * D].withUnsafeBufferPointer { rule.scaling(of: $0) }
      }
      for isBiased in [true, false] {
        let X = GuardedTensor(ops, N, D, x)
        let S = GuardedTensor(ops, N, D)
        let scalings = ops.makeTensor(rows: N, columns: InputNormalization.Scaling.columns)
        ops.normalizeInput(
          S.tensor, scalings: scalings, x: X.tensor, rule, bias: isBiased ? ops.makeRow(bias) : nil)
        let s = x.indices.map { i in
          (Double(x[i]) - expected[i / D].shift) * expected[i / D].inputScale - (isBiased ? Double(bias[i % D]) : 0)
        }
        #expect(relativeL2(S.values(), s) < 1e-6, "\(N) × \(D)")
        expectUnchanged(X, x)
        let (Y, G) = (GuardedTensor(ops, N, D, x), GuardedTensor(ops, N, D, x))
        ops.undoNormalization(Y.tensor, scalings: scalings)
        ops.scaleRows(G.tensor, scalings: scalings)
        let y = x.indices.map { Double(x[$0]) * expected[$0 / D].outputScale + expected[$0 / D].shift }
        #expect(relativeL2(Y.values(), y) < 1e-6)
        #expect(relativeL2(G.values(), x.indices.map { Double(x[$0]) * expected[$0 / D].outputScale }) < 1e-6)
        // In place.
        ops.normalizeInput(
          X.tensor, scalings: scalings, x: X.tensor, rule, bias: isBiased ? ops.makeRow(bias) : nil)
        #expect(X.values() == S.values())
      }
    }
  }

  /// On top of what was there; the same to the last bit, on a processor, however the rows are cut.
  @Test(arguments: shapes, TestDevice.all)
  func reconstructionsAddUp(_ shape: (rows: Int, columns: Int), _ device: TestDevice) throws {
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 13)
    let (N, D) = shape
    let (x, y) = (numbers.floats(N * D), numbers.floats(N * D))
    func sums(cutAt cuts: [Int]) -> [Double] {
      let columns = ReconstructionSums.columns(width: D)
      let sums = ops.makeRow(Array(repeating: 0, count: columns))
      for (start, end) in zip([0] + cuts, cuts) {
        let (X, Y) = (
          GuardedTensor(ops, end - start, D, Array(x[start * D..<end * D])),
          GuardedTensor(ops, end - start, D, Array(y[start * D..<end * D]))
        )
        ops.addReconstruction(to: sums, x: X.tensor, rebuilt: Y.tensor)
      }
      var found = [Double](repeating: .nan, count: columns / 2)
      found.withUnsafeMutableBytes { ops.download($0.bindMemory(to: Float.self).baseAddress!, from: sums) }
      return found
    }
    let errors = x.indices.map { Double(x[$0] - y[$0]) }
    let expected =
      [errors.reduce(0) { $0 + $1 * $1 }, x.reduce(0) { $0 + Double($1) * Double($1) }]
      + (0..<D).map { d in (0..<N).reduce(0.0) { $0 + Double(x[$1 * D + d]) } }
    let whole = sums(cutAt: [N])
    #expect(zip(whole, expected).allSatisfy { abs($0 - $1) <= 1e-12 * max(1, abs($1)) })
    let parts = sums(cutAt: [N / 3, N / 3, N])
    #expect(zip(parts, expected).allSatisfy { abs($0 - $1) <= 1e-12 * max(1, abs($1)) })
    if ops is CPUOperations { #expect(parts == whole && whole[0] == expected[0]) }
    let read = ReconstructionSums(whole)
    #expect((read.squaredError, read.squaredNorm) == (whole[0], whole[1]) && read.sum == Array(whole[2...]))
  }
}
