import Glibc
import TensorOperations
import TestSupport
import Testing

@Suite struct MLPActivationTests {
  static let shapes = [(1, 5), (3, 16), (7, 84), (129, 5), (300, 16), (513, 84), (1, 1)]

  /// The derivative by central differences, exact to 1e-9.
  static func slope(_ x: Double, _ function: ActivationFunction) -> Double {
    let h = 1e-5
    return (Oracle.activation(x + h, function) - Oracle.activation(x - h, function)) / (2 * h)
  }

  @Test(arguments: shapes, ActivationFunction.allCases)
  func agreesWithOracle(shape: (rows: Int, width: Int), function: ActivationFunction) throws {
    let (T, F) = shape
    var numbers = SeededNumbers(seed: UInt64(T * 1000 + F))
    let (g, u, dy) = (numbers.floats(T * F, scale: 8), numbers.floats(T * F), numbers.floats(T * F))
    let (f, slopes) = (g.map { Oracle.activation(Double($0), function) }, g.map { Self.slope(Double($0), function) })
    for device in TestDevice.all {
      let ops = try device.makeOperations()
      let (G, DY) = (GuardedTensor(ops, T, F, g), GuardedTensor(ops, T, F, dy))
      for up in [u, nil] {
        let U = up.map { GuardedTensor(ops, T, F, $0) }
        let (Y, DG, DU) = (GuardedTensor(ops, T, F), GuardedTensor(ops, T, F), up.map { _ in GuardedTensor(ops, T, F) })
        let factors = doubles(up ?? Array(repeating: 1, count: T * F))
        ops.activate(y: Y.tensor, gate: G.tensor, up: U?.tensor, by: function)
        // An exponential to 2 ulp and a few operations.
        #expect(relativeL2(Y.values(), zip(f, factors).map { $0 * $1 }) < 3e-7)
        func goBack(_ dGate: GuardedTensor, _ dUp: GuardedTensor?) {
          ops.activateBackward(
            dGate: dGate.tensor, dUp: dUp?.tensor, dy: DY.tensor, gate: G.tensor, up: U?.tensor, by: function)
        }
        goBack(DG, DU)
        for (tensor, values) in [(G, g), (DY, dy)] { expectUnchanged(tensor, values) }
        let dg = dy.indices.map { Double(dy[$0]) * factors[$0] * slopes[$0] }
        #expect(relativeL2(DG.values(), dg) < 1e-6)
        if let U, let up, let DU {
          expectUnchanged(U, up)
          #expect(relativeL2(DU.values(), zip(f, dy).map { $0 * Double($1) }) < 3e-7)
          // The results may take the inputs' place.
          goBack(G, U)
          #expect(G.values() == DG.values() && U.values() == DU.values())
          ops.upload(G.tensor, from: g)
        } else {
          goBack(DY, nil)
          #expect(DY.values() == DG.values())
        }
      }
    }
  }

  /// All of the range in which a function turns from 0 to x, in steps of 1e-3: value and derivative.
  @Test(arguments: ActivationFunction.allCases, TestDevice.all)
  func everyGate(function: ActivationFunction, device: TestDevice) throws {
    let ops = try device.makeOperations()
    let g = (-15_000...15_000).map { Float($0) / 1000 }
    let ones = GuardedTensor(ops, 1, g.count, Array(repeating: 1, count: g.count)).tensor
    let (G, Y, DG) = (GuardedTensor(ops, 1, g.count, g), GuardedTensor(ops, 1, g.count), GuardedTensor(ops, 1, g.count))
    ops.activate(y: Y.tensor, gate: G.tensor, up: nil, by: function)
    ops.activateBackward(dGate: DG.tensor, dUp: nil, dy: ones, gate: G.tensor, up: nil, by: function)
    let (y, dg) = (Y.values(), DG.values())
    let wrong = g.indices.filter { i in
      let x = Double(g[i])
      let valueError = abs(Double(y[i]) - Oracle.activation(x, function))
      // Differences tell nothing at relu's corner, where PyTorch's derivative is 0.
      let slope = function == .relu && x == 0 ? 0 : Self.slope(x, function)
      return !(valueError <= 2.5e-7 * abs(x)) || !(abs(Double(dg[i]) - slope) <= 1e-6)
    }
    #expect(wrong.isEmpty, "\(wrong.count), the first at \(wrong.first.map { (g[$0], y[$0], dg[$0]) } ?? (0, 0, 0))")
  }

  /// Where exponentials leave Float's range, a function is 0 or x to within 1e-34, and its derivative 0 or 1.
  @Test(arguments: ActivationFunction.allCases, TestDevice.all)
  func largeGates(function: ActivationFunction, device: TestDevice) throws {
    let ops = try device.makeOperations()
    let g: [Float] = [
      -1e30, -1e4, -150, -104, -100, -89, -88.5, -88, -87.4, -87, -50, -20, -0.0, 1e-30, 20, 50, 87.4, 89, 150, 1e4,
      1e30,
    ]
    let ones = [Float](repeating: 1, count: g.count)
    let (G, U) = (GuardedTensor(ops, 1, g.count, g), GuardedTensor(ops, 1, g.count, ones))
    let (Y, DG, DU) = (GuardedTensor(ops, 1, g.count), GuardedTensor(ops, 1, g.count), GuardedTensor(ops, 1, g.count))
    ops.activate(y: Y.tensor, gate: G.tensor, up: U.tensor, by: function)
    ops.activateBackward(dGate: DG.tensor, dUp: DU.tensor, dy: U.tensor, gate: G.tensor, up: U.tensor, by: function)
    for (i, gate) in doubles(g).enumerated() {
      let value = Oracle.activation(gate, function)
      // Of silu a tail is left at −20 that the others do not have.
      let s = 1 / (1 + Glibc.exp(-gate))
      let isSmall = abs(gate) < 1e-20
      let slope =
        switch function {
        case .silu: s * (1 + gate * (1 - s))
        case .relu: gate > 0 ? 1.0 : 0
        default: isSmall ? 0.5 : gate > 0 ? 1 : 0
        }
      for (found, expected) in [(Y, value), (DU, value), (DG, slope)] {
        let found = Double(found.values()[i])
        #expect(
          abs(found - expected) <= 1e-6 * abs(expected) + 1e-37 * max(abs(gate), 1e3),
          "g = \(gate): \(found), expected \(expected)")
      }
    }
  }

  @Test(arguments: 0..<3, ActivationFunction.allCases)
  func passesNaNOn(input: Int, function: ActivationFunction) throws {
    var inputs = [[Float]](repeating: [1, 2, 3, 4, 5], count: 3)
    inputs[input][3] = .nan
    for device in TestDevice.all {
      let ops = try device.makeOperations()
      let (G, U, DY) = (
        GuardedTensor(ops, 1, 5, inputs[0]), GuardedTensor(ops, 1, 5, inputs[1]), GuardedTensor(ops, 1, 5, inputs[2])
      )
      let (Y, DG, DU) = (GuardedTensor(ops, 1, 5), GuardedTensor(ops, 1, 5), GuardedTensor(ops, 1, 5))
      ops.activate(y: Y.tensor, gate: G.tensor, up: U.tensor, by: function)
      ops.activateBackward(dGate: DG.tensor, dUp: DU.tensor, dy: DY.tensor, gate: G.tensor, up: U.tensor, by: function)
      let places = { (t: GuardedTensor) in t.values().indices.filter { t.values()[$0].isNaN } }
      #expect(places(Y) == (input == 2 ? [] : [3]))
      #expect(places(DG) == [3])
      #expect(places(DU) == (input == 1 ? [] : [3]))
    }
  }
}
