import TensorOperations
import TestSupport
import Testing

@Suite struct SwiGLUTests {
  @Test(arguments: [(1, 5), (3, 16), (7, 84), (129, 5), (300, 16), (513, 84), (1, 1)], TestDevice.all)
  func agreesWithOracle(shape: (rows: Int, width: Int), device: TestDevice) throws {
    let (T, F) = shape
    var numbers = SeededNumbers(seed: UInt64(T * 1000 + F))
    let (g, u, dy) = (numbers.floats(T * F, scale: 8), numbers.floats(T * F), numbers.floats(T * F))
    let ops = try device.makeOperations()
    let (G, U, DY) = (GuardedTensor(ops, T, F, g), GuardedTensor(ops, T, F, u), GuardedTensor(ops, T, F, dy))
    let (Y, DG, DU) = (GuardedTensor(ops, T, F), GuardedTensor(ops, T, F), GuardedTensor(ops, T, F))
    ops.activate(y: Y.tensor, gate: G.tensor, up: U.tensor, by: .silu)
    // e^-g to 2 ulp and three operations.
    #expect(relativeL2(Y.values(), zip(g, u).map { Oracle.silu(Double($0)) * Double($1) }) < 3e-7)

    ops.activateBackward(dGate: DG.tensor, dUp: DU.tensor, dy: DY.tensor, gate: G.tensor, up: U.tensor, by: .silu)
    for (tensor, values) in [(G, g), (U, u), (DY, dy)] { expectUnchanged(tensor, values) }
    let h = 1e-5
    let dg = g.indices.map { i in
      (Oracle.silu(Double(g[i]) + h) - Oracle.silu(Double(g[i]) - h)) / (2 * h) * Double(u[i]) * Double(dy[i])
    }
    #expect(relativeL2(DG.values(), dg) < 1e-6)
    #expect(relativeL2(DU.values(), zip(g, dy).map { Oracle.silu(Double($0)) * Double($1) }) < 3e-7)

    // The results may take the inputs' place.
    ops.activateBackward(dGate: G.tensor, dUp: U.tensor, dy: DY.tensor, gate: G.tensor, up: U.tensor, by: .silu)
    #expect(G.values() == DG.values() && U.values() == DU.values())
  }

  /// Where e^-g leaves Float's range, silu is 0 or g to within 1e-35.
  @Test(arguments: TestDevice.all) func largeGates(device: TestDevice) throws {
    let ops = try device.makeOperations()
    let g: [Float] = [
      -1e4, -150, -104, -100, -89, -88.5, -88, -87.4, -87, -50, -20, -0.0, 0, 1e-30, 20, 50, 87.4, 89, 150, 1e4,
    ]
    let ones = [Float](repeating: 1, count: g.count)
    let (G, U) = (GuardedTensor(ops, 1, g.count, g), GuardedTensor(ops, 1, g.count, ones))
    let (Y, DG, DU) = (GuardedTensor(ops, 1, g.count), GuardedTensor(ops, 1, g.count), GuardedTensor(ops, 1, g.count))
    ops.activate(y: Y.tensor, gate: G.tensor, up: U.tensor, by: .silu)
    ops.activateBackward(dGate: DG.tensor, dUp: DU.tensor, dy: U.tensor, gate: G.tensor, up: U.tensor, by: .silu)
    for (i, gate) in doubles(g).enumerated() {
      let s = Oracle.silu(gate)
      let sigmoid = gate == 0 ? 0.5 : s / gate
      // s·(1 + g·(1 − s)) cancels near g = −1.28 and nowhere here.
      let derivative = sigmoid * (1 + gate * (1 - sigmoid))
      for (found, expected) in [(Y, s), (DU, s), (DG, derivative)] {
        let found = Double(found.values()[i])
        #expect(abs(found - expected) <= 1e-6 * abs(expected) + 1e-34, "g = \(gate): \(found), expected \(expected)")
      }
    }
  }

  @Test(arguments: 0..<3, TestDevice.all)
  func passesNaNOn(input: Int, device: TestDevice) throws {
    let ops = try device.makeOperations()
    var inputs = [[Float]](repeating: [1, 2, 3, 4, 5], count: 3)
    inputs[input][3] = .nan
    let (G, U, DY) = (
      GuardedTensor(ops, 1, 5, inputs[0]), GuardedTensor(ops, 1, 5, inputs[1]), GuardedTensor(ops, 1, 5, inputs[2])
    )
    let (Y, DG, DU) = (GuardedTensor(ops, 1, 5), GuardedTensor(ops, 1, 5), GuardedTensor(ops, 1, 5))
    ops.activate(y: Y.tensor, gate: G.tensor, up: U.tensor, by: .silu)
    ops.activateBackward(dGate: DG.tensor, dUp: DU.tensor, dy: DY.tensor, gate: G.tensor, up: U.tensor, by: .silu)
    let places = { (t: GuardedTensor) in t.values().indices.filter { t.values()[$0].isNaN } }
    #expect(places(Y) == (input == 2 ? [] : [3]))
    #expect(places(DG) == [3])
    #expect(places(DU) == (input == 1 ? [] : [3]))
  }
}
