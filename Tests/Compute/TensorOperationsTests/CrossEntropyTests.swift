import Glibc
import TensorOperations
import TestSupport
import Testing

@Suite struct CrossEntropyTests {
  struct Shape: Sendable {
    let rows: Int
    let width: Int
    let words: Int
  }

  /// Vocabularies around the 512 words of a tile and of more tiles than the 16 parts, rows around the 512 of a block.
  static let shapes = [
    Shape(rows: 1, width: 5, words: 1), Shape(rows: 3, width: 16, words: 17), Shape(rows: 7, width: 84, words: 513),
    Shape(rows: 129, width: 5, words: 1301), Shape(rows: 300, width: 16, words: 512),
    Shape(rows: 513, width: 5, words: 1025), Shape(rows: 1030, width: 2, words: 17),
    Shape(rows: 2, width: 84, words: 1301), Shape(rows: 5, width: 3, words: 16 * 512 * 2 + 5),
  ]

  /// The loss of every row and its gradient, after checks of what lies around.
  static func run(
    _ x: [Float], _ w: [Float], _ targets: [Int32], softCap: Float? = nil, on device: TestDevice
  ) throws -> (losses: [Double], dx: [Float]) {
    let ops = try device.makeOperations()
    let W = GuardedTensor(ops, w.count / (x.count / targets.count), x.count / targets.count, w)
    defer { expectUnchanged(W, w) }
    return try run(x, head: Matrix(W.tensor), targets, softCap: softCap, on: ops)
  }

  static func run(
    _ x: [Float], head: Matrix, _ targets: [Int32], softCap: Float?, on ops: any TensorOperations
  ) throws -> (losses: [Double], dx: [Float]) {
    let (X, DX) = (GuardedTensor(ops, targets.count, head.columns, x), GuardedTensor(ops, targets.count, head.columns))
    let losses = ops.crossEntropy(dx: DX.tensor, x: X.tensor, head: head, targets: targets, softCap: softCap)()
    // Without a way back: the same losses.
    let alone = ops.crossEntropy(dx: nil, x: X.tensor, head: head, targets: targets, softCap: softCap)()
    #expect(alone.map(\.bitPattern) == losses.map(\.bitPattern))
    expectUnchanged(X, x)
    return (losses, DX.values())
  }

  @Test(arguments: shapes, [nil, 3])
  func agreesWithOracle(shape: Shape, softCap: Float?) throws {
    let (N, D, V) = (shape.rows, shape.width, shape.words)
    var numbers = SeededNumbers(seed: UInt64(N * 1000 + V))
    let (x, w) = (numbers.floats(N * D, scale: 2), numbers.floats(V * D))
    // Words of every tile, the first and the last among them, and rows without a target.
    let targets = (0..<N).map { row in row % 5 == 4 ? -1 : Int32(row % 3 == 0 ? V - 1 - row % V : row * 37 % V) }
    let (X, W) = (doubles(x), doubles(w))
    func loss(_ row: Int, _ x: some Collection<Double>) -> Double {
      Oracle.crossEntropy(x, w: W, target: targets[row], softCap: softCap)
    }
    let expected = (0..<N).map { loss($0, X[$0 * D..<($0 + 1) * D]) }
    // Every row where the vocabulary is small, else those at the edges of blocks and some between.
    let probed = (0..<N).filter { N * V * D < 200_000 || $0 % 101 == 0 || $0 == 1 || (510...513).contains($0) }
    let gradients = probed.map { row in finiteDifferences(at: Array(X[row * D..<(row + 1) * D])) { loss(row, $0) } }

    for device in TestDevice.all {
      let found = try Self.run(x, w, targets, softCap: softCap, on: device)
      if V > 1 { #expect(relativeL2(found.losses, expected) < 1e-6) }
      for (row, gradient) in zip(probed, gradients) {
        let dx = Array(found.dx[row * D..<(row + 1) * D])
        // Weights of up to 1 that cancel: 1e-6 of the rows they are made of.
        let isClose = zip(dx, gradient).allSatisfy { abs(Double($0) - $1) < 2e-6 }
        #expect(isClose, "row \(row): \(dx), expected \(gradient)")
      }
      #expect(relativeL2(probed.flatMap { found.dx[$0 * D..<($0 + 1) * D] }, gradients.flatMap { $0 }) < 2e-6)
      for row in 0..<N where targets[row] < 0 {
        #expect(found.losses[row] == 0 && found.dx[row * D..<(row + 1) * D].allSatisfy { $0 == 0 })
      }
      // All rows at once: Σ of all losses along random directions.
      let error = directionalError(of: found.dx, at: X, directions: 1) { x in
        (0..<N).reduce(0) { $0 + loss($1, x[$1 * D..<($1 + 1) * D]) }
      }
      #expect(V == 1 || error < 2e-6)
    }
  }

  /// One word: it is certain, and nothing can change that.
  @Test(arguments: TestDevice.all) func aVocabularyOfOne(device: TestDevice) throws {
    let found = try Self.run([3, -2, 150, 1], [2, 5], [0, 0], on: device)
    #expect(found.losses == [0, 0])
    #expect(found.dx == [0, 0, 0, 0])
  }

  /// Logits of ±10⁴ that are exact in Float: the largest in the first tile, a middle one, and the last.
  @Test(arguments: [0, 700, 1300], TestDevice.all)
  func largeLogits(largest: Int, device: TestDevice) throws {
    let V = 1301
    var numbers = SeededNumbers(seed: 11)
    // Whole numbers from −50 to 50, and x of ±100: logits of up to 10,000.
    var w = (0..<V * 2).map { _ in Float(Int.random(in: -45...45, using: &numbers)) }
    (w[largest * 2], w[largest * 2 + 1]) = (50, -50)
    let x: [Float] = [100, -100, -100, 100, 100, -100, 0, 0]
    let targets = [Int32(largest), Int32(largest), Int32((largest + 1) % V), 5]
    let found = try Self.run(x, w, targets, on: device)
    let expected = (0..<4).map {
      Oracle.crossEntropy(doubles(Array(x[2 * $0..<2 * $0 + 2])), w: doubles(w), target: targets[$0])
    }
    for (loss, exact) in zip(found.losses, expected) { #expect(abs(loss - exact) <= 1e-6 * max(exact, 1e-9)) }
    // Row 0 is certain of its target; row 2 of another word, so its gradient is the difference of two words.
    // Exponentials of what is far below 0 are the smallest normal number on the processor.
    #expect(abs(found.dx[0]) < 1e-30 && abs(found.dx[1]) < 1e-30)
    #expect(found.dx[4] == 50 - w[Int(targets[2]) * 2] && found.dx[5] == -50 - w[Int(targets[2]) * 2 + 1])
    #expect(found.dx.allSatisfy { $0.isFinite })
  }

  /// Logits of up to 10,000 that all end at the cap, where nothing moves them, and one that does not.
  @Test(arguments: TestDevice.all) func largeLogitsThatAreCapped(device: TestDevice) throws {
    let w: [Float] = [50, -50, -50, 50, 0.25, 0, 45, -45]
    let x: [Float] = [100, -100, 100, -100]
    let found = try Self.run(x, w, [0, 2], softCap: 30, on: device)
    // e^z of the two largest is e^30 each, that of the third e^(30·tanh(25/30)).
    let z = 30 * Glibc.tanh(25.0 / 30)
    let sum = 2 + Glibc.exp(z - 30)
    #expect(abs(found.losses[0] - Glibc.log(sum)) < 1e-6 && abs(found.losses[1] - (30 - z + Glibc.log(sum))) < 1e-5)
    let slope = 1 / (Glibc.cosh(25.0 / 30) * Glibc.cosh(25.0 / 30))
    #expect(abs(Double(found.dx[2]) + 0.25 * slope) < 1e-5 && abs(found.dx[0]) < 1e-5)
  }

  /// Parts of three tiles whose logits grow from word to word, or shrink: the largest so far moves at each tile.
  @Test(arguments: [-1, 1], TestDevice.all)
  func logitsThatGrow(direction: Float, device: TestDevice) throws {
    let V = 16 * 512 * 3
    let w = (0..<V).map { Float($0 % 1536) / 100 }
    let x = [direction, direction * 0.5]
    let found = try Self.run(x, w, [0, Int32(V - 1)], on: device)
    for (row, target) in [0, V - 1].enumerated() {
      let exact = Oracle.crossEntropy([Double(x[row])], w: doubles(w), target: Int32(target))
      #expect(abs(found.losses[row] - exact) <= 1e-6 * exact)
      let gradient = finiteDifferences(at: [Double(x[row])]) {
        Oracle.crossEntropy($0, w: doubles(w), target: Int32(target))
      }
      // The gradient is what the mean of the words has more than the target: they are what was rounded.
      #expect(abs(Double(found.dx[row]) - gradient[0]) <= 2e-6 * (abs(gradient[0]) + Double(w[target])))
    }
  }

  @Test(arguments: [0, 1, 2], TestDevice.all)
  func passesNaNOn(tile: Int, device: TestDevice) throws {
    var numbers = SeededNumbers(seed: 12)
    let (x, w) = (numbers.floats(3 * 4), numbers.floats(1301 * 4))
    var badX = x
    badX[4 + tile] = .nan
    let row = try Self.run(badX, w, [1, 2, 3], on: device)
    #expect(row.losses.map(\.isNaN) == [false, true, false])
    #expect(row.dx.map(\.isNaN) == (0..<12).map { (4..<8).contains($0) })
    var badW = w
    badW[tile * 513 * 4] = .nan
    let head = try Self.run(x, badW, [1, 2, 3], on: device)
    #expect(head.losses.allSatisfy { $0.isNaN })
    #expect((0..<3).allSatisfy { head.dx[$0 * 4].isNaN })
  }

  /// An infinite logit is no number either.
  @Test(arguments: TestDevice.all) func passesInfinityOn(device: TestDevice) throws {
    let found = try Self.run([.infinity, 1], [1, 1, 2, 1, 1, 0.5], [1], on: device)
    #expect(found.losses[0].isNaN && found.dx[0].isNaN)
  }
}
