import Glibc
import TensorOperations
import TestSupport
import Testing

@Suite struct RotaryEmbeddingTests {
  struct Case: Sendable {
    let positions: [Int32]
    let heads: Int
    let headWidth: Int
    let inverseFrequencies: [Double]

    /// - Parameter turned: how many dimensions of a head are turned; all of them where it is nil.
    init(positions: [Int32], heads: Int, headWidth: Int, turned: Int? = nil, theta: Double) {
      (self.positions, self.heads, self.headWidth) = (positions, heads, headWidth)
      inverseFrequencies = frequencies(turned ?? headWidth, theta)
    }
  }

  static let cases = [
    Case(positions: [0], heads: 1, headWidth: 2, theta: 10_000),
    Case(positions: [0, 1, 2], heads: 4, headWidth: 2, theta: 10_000),
    Case(positions: [0, 1, 2, 0, 0, 1, 2], heads: 6, headWidth: 14, theta: 10_000),
    Case(positions: Array(0..<129), heads: 2, headWidth: 14, theta: 1e6),
    Case(positions: Array(0..<300), heads: 1, headWidth: 64, theta: 1e6),
    // Beyond the 128 positions that the table of angles starts with, and not in order.
    Case(positions: [32767, 3, 128, 127, 4095], heads: 2, headWidth: 64, theta: 1e6),
    // A part of each head, as GPT-NeoX turns it.
    Case(positions: [0, 1, 2, 5], heads: 3, headWidth: 10, turned: 4, theta: 10_000),
    Case(positions: Array(0..<130), heads: 2, headWidth: 7, turned: 2, theta: 10_000),
  ]

  @Test(arguments: cases, TestDevice.all)
  func agreesWithOracle(rotation: Case, device: TestDevice) throws {
    let (T, W) = (rotation.positions.count, rotation.heads * rotation.headWidth)
    var numbers = SeededNumbers(seed: UInt64(T))
    let (x, dy) = (numbers.floats(T * W), numbers.floats(T * W))
    func oracle(_ x: [Double]) -> [Double] {
      Oracle.rotate(
        x, width: W, positions: rotation.positions, headWidth: rotation.headWidth,
        inverseFrequencies: rotation.inverseFrequencies)
    }
    let ops = try device.makeOperations()
    let X = GuardedTensor(ops, T, W, x)
    ops.rotate(
      x: X.tensor, positions: rotation.positions, headWidth: rotation.headWidth,
      inverseFrequencies: rotation.inverseFrequencies)
    // cos and sin, two products and a sum, each rounded.
    #expect(relativeL2(X.values(), oracle(doubles(x))) < 3e-7)
    let kept = x.indices.filter { $0 % rotation.headWidth >= 2 * rotation.inverseFrequencies.count }
    #expect(kept.allSatisfy { X.values()[$0] == x[$0] })

    let DX = GuardedTensor(ops, T, W, dy)
    ops.rotateBackward(
      dx: DX.tensor, positions: rotation.positions, headWidth: rotation.headWidth,
      inverseFrequencies: rotation.inverseFrequencies)
    let loss = { (x: [Double]) in dot(oracle(x), doubles(dy)) }
    if T * W < 600 { #expect(relativeL2(DX.values(), finiteDifferences(at: doubles(x), loss)) < 1e-6) }
    #expect(directionalError(of: DX.values(), at: doubles(x), loss) < 1e-6)

    // Back where it came from.
    ops.rotateBackward(
      dx: X.tensor, positions: rotation.positions, headWidth: rotation.headWidth,
      inverseFrequencies: rotation.inverseFrequencies)
    #expect(relativeL2(X.values(), x) < 3e-7)
  }

  /// On the processor both products are exact, in Double, and what rounds is the number that is written.
  @Test func roundsOnce() throws {
    let (positions, half) = (100, 32)
    let inverseFrequencies = frequencies(2 * half, 10_000)
    let table = RotationTable(inverseFrequencies: inverseFrequencies, positions: positions)
    var numbers = SeededNumbers(seed: 5)
    let x = numbers.floats(positions * 2 * half)
    let ops = try CPUOperations(threads: 2)
    let X = GuardedTensor(ops, positions, 2 * half, x)
    ops.rotate(
      x: X.tensor, positions: (0..<positions).map(Int32.init), headWidth: 2 * half,
      inverseFrequencies: inverseFrequencies)
    let found = X.values()
    for angle in 0..<positions * half {
      let low = angle / half * 2 * half + angle % half
      let (a, b) = (Double(x[low]), Double(x[low + half]))
      let (cosine, sine) = (Double(table.cosines[angle]), Double(table.sines[angle]))
      #expect(found[low] == Float(a * cosine - b * sine))
      #expect(found[low + half] == Float(b * cosine + a * sine))
    }
  }

  /// One object serves a model's queries and keys, then another shape, then more positions.
  @Test(arguments: TestDevice.all) func keepsNoAnglesOfAnotherShape(device: TestDevice) throws {
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 3)
    for (positions, headWidth, theta) in [
      ([Int32(1), 5], 4, 1e4), ([1, 5], 8, 1e4), ([1, 5], 8, 1e6), ([1, 500], 8, 1e6), ([1, 5], 8, 1e6),
    ] {
      let x = numbers.floats(16)
      let X = GuardedTensor(ops, 2, 8, x)
      ops.rotate(
        x: X.tensor, positions: positions, headWidth: headWidth, inverseFrequencies: frequencies(headWidth, theta))
      let expected = Oracle.rotate(
        doubles(x), width: 8, positions: positions, headWidth: headWidth,
        inverseFrequencies: frequencies(headWidth, theta))
      #expect(relativeL2(X.values(), expected) < 3e-7)
    }
  }

  /// A NaN reaches its own pair and nothing else.
  @Test(arguments: [1, -1], TestDevice.all) func passesNaNOn(direction: Int, device: TestDevice) throws {
    let ops = try device.makeOperations()
    var x = [Float](repeating: 1, count: 16)
    x[9] = .nan
    let X = GuardedTensor(ops, 2, 8, x)
    if direction > 0 {
      ops.rotate(x: X.tensor, positions: [3, 4], headWidth: 4, inverseFrequencies: [1, 0.01])
    } else {
      ops.rotateBackward(dx: X.tensor, positions: [3, 4], headWidth: 4, inverseFrequencies: [1, 0.01])
    }
    #expect(X.values().indices.filter { X.values()[$0].isNaN } == [9, 11])
  }
}

/// Those of HF's default rotary embedding, in its float32.
private func frequencies(_ turned: Int, _ theta: Double) -> [Double] {
  (0..<turned / 2).map { i in Double(1 / Float(pow(theta, Double(Float(2 * i) / Float(turned))))) }
}
