import CUDAOperations
import TestSupport
import Testing

/// What Float sums would lose: the gradient of a word that is all but certain, and under likely words what unlikely ones
/// add.
@Suite struct CrossEntropyPrecisionTests {
  private static func losses(_ x: [Float], _ w: [Float], _ targets: [Int32], _ softCap: Float? = nil) -> [Double] {
    let (X, W, D) = (doubles(x), doubles(w), x.count / targets.count)
    return targets.indices.map {
      Oracle.crossEntropy(X[$0 * D..<($0 + 1) * D], w: W, target: targets[$0], softCap: softCap)
    }
  }

  private static func gradients(
    _ x: [Float], _ w: [Float], _ targets: [Int32], _ softCap: Float? = nil
  ) -> [[Double]] {
    let (X, W, D) = (doubles(x), doubles(w), x.count / targets.count)
    return targets.indices.map {
      Oracle.crossEntropyGradient(X[$0 * D..<($0 + 1) * D], w: W, target: targets[$0], softCap: softCap)
    }
  }

  /// Targets of 1 − p between 1e-4 and 1e-12. Their logits are exact in Float.
  @Test(arguments: [nil, 30] as [Float?]) func aTargetThatIsAllButCertain(softCap: Float?) throws {
    let (D, V, rows) = (8, 1301, 8)
    var numbers = SeededNumbers(seed: 21)
    var (x, w) = ([Float](), numbers.floats(V * D))
    let targets = (0..<rows).map { Int32($0 * 185 + 3) }
    for (row, target) in targets.enumerated() {
      let signs = (0..<D).map { _ in Bool.random(using: &numbers) ? Float(1) : -1 }
      for i in 0..<D { w[Int(target) * D + i] = 4 * signs[i] }
      // x · W[target] = 20, 23, … 41.
      x += signs.map { $0 * Float(20 + 3 * row) / 32 }
    }
    let losses = Self.losses(x, w, targets, softCap)
    let gradients = Self.gradients(x, w, targets, softCap)
    #expect(losses.max()! < 1e-3 && losses.min()! < (softCap == nil ? 1e-11 : 1e-7))
    for device in TestDevice.all {
      let found = try CrossEntropyTests.run(x, w, targets, softCap: softCap, on: device)
      for row in 0..<rows {
        let error = relativeL2(Array(found.dx[row * D..<(row + 1) * D]), gradients[row])
        #expect(error < 1e-5, "\(device.testDescription), row \(row): \(error)")
        #expect(abs(found.losses[row] / losses[row] - 1) < 1e-5)
      }
    }
  }

  /// Each row is certain of 16 words, one in each part of the vocabulary, and every second row of their negatives, so
  /// that they cancel over the rows. What is left are the targets, and 100,000 words with shares of 4e-12 and a direction
  /// in common, a tile of which is less than half of the last digit of a Float that holds a likely word.
  @Test func manyUnlikelyWordsUnderLikelyOnes() throws {
    let (N, D, tiles) = (64, 4, 13)
    let V = 16 * tiles * 512
    var numbers = SeededNumbers(seed: 22)
    var w = (0..<V).flatMap { _ -> [Float] in
      let size = Float.random(in: 0.9...1.1, using: &numbers)
      return [size, -size, size, -size]
    }
    func set(_ word: Int, _ values: [Float]) { w.replaceSubrange(word * D..<(word + 1) * D, with: values) }
    let likely: Float = 1.03125
    for part in 0..<16 {
      set(part * tiles * 512 + 5, Array(repeating: likely, count: D))
      set(part * tiles * 512 + 9, Array(repeating: -likely, count: D))
    }
    var (x, targets) = ([Float](), [Int32]())
    for row in 0..<N {
      let size = Float.random(in: 5.6...5.8, using: &numbers) * (row % 2 == 0 ? 1 : -1)
      x += Array(repeating: size, count: D)
      targets.append(Int32(row * 811 + 100))
      let own = Float.random(in: 0.02...0.04, using: &numbers)
      set(row * 811 + 100, [own, -own, -own, own])
    }
    func sum(_ rows: [some Collection<Double>]) -> [Double] {
      rows.reduce(into: [Double](repeating: 0, count: D)) { sum, row in
        for (i, value) in row.enumerated() { sum[i] += value }
      }
    }
    let expected = sum(Self.gradients(x, w, targets))
    // All words but the targets, which are added apart: along (1, −1, 1, −1).
    let common = (expected[0] - expected[1] + expected[2] - expected[3]) / 2
    #expect(abs(common) > 1e-5 * relativeL2(expected, [0, 0, 0, 0]))
    for device in TestDevice.all {
      let found = doubles(try CrossEntropyTests.run(x, w, targets, on: device).dx)
      let error = relativeL2(sum((0..<N).map { found[$0 * D..<($0 + 1) * D] }), expected)
      #expect(error < 1e-6, "\(device.testDescription): \(error)")
    }
  }

  /// A few words of a row have about the same logit, in tiles and parts far from one another; the largest comes first, or
  /// last. Some rows have one of them for their target, some have none.
  @Test(arguments: [nil, 14] as [Float?]) func likelyWordsHereAndThere(softCap: Float?) throws {
    let (N, D, V) = (10, 16, 16 * 512 * 2 + 5)
    let (x, w, targets) = Self.hereAndThere(N, D, V)
    let losses = Self.losses(x, w, targets, softCap)
    let gradients = Self.gradients(x, w, targets, softCap)
    for device in TestDevice.all {
      let found = try CrossEntropyTests.run(x, w, targets, softCap: softCap, on: device)
      for row in 0..<N {
        let error = relativeL2(Array(found.dx[row * D..<(row + 1) * D]), gradients[row])
        #expect(error < 2e-6, "\(device.testDescription), row \(row): \(error)")
        #expect(abs(found.losses[row] - losses[row]) <= 2e-6 * losses[row])
      }
    }
  }

  private static func hereAndThere(_ N: Int, _ D: Int, _ V: Int) -> (x: [Float], w: [Float], targets: [Int32]) {
    var numbers = SeededNumbers(seed: 23)
    let x = numbers.floats(N * D)
    var (w, targets) = (numbers.floats(V * D, scale: 0.3), [Int32]())
    for row in 0..<N {
      let x_t = x[row * D..<(row + 1) * D]
      let norm = x_t.reduce(0) { $0 + $1 * $1 }
      let words = (0..<7).map { (row * 1009 + $0 * 2357) % V }.sorted(by: row % 2 == 0 ? (<) : (>))
      for (place, word) in words.enumerated() {
        let logit = 12 + 0.3 * Float(place)
        for i in 0..<D { w[word * D + i] += logit / norm * x[row * D + i] }
      }
      targets.append(row % 5 == 4 ? -1 : Int32(row % 3 == 0 ? words[3] : V - 1 - row))
    }
    return (x, w, targets)
  }

  /// Whichever thread comes first, and however often it is done.
  @Test(.enabled(if: StandInGPU.folder != nil, "\(StandInGPU.absence)")) func theSameBits() throws {
    let (x, w, targets) = Self.hereAndThere(10, 16, 1301)
    let runs = try [0, 1, 1].map { index in
      let device = TestDevice(testDescription: "stand-in \(index)") {
        let operations = try CUDAOperations(device: index, folder: StandInGPU.folder)
        operations.heldNumbers = 0
        return operations
      }
      let found = try CrossEntropyTests.run(x, w, targets, on: device)
      return found.losses.map(\.bitPattern) + found.dx.map { UInt64($0.bitPattern) }
    }
    #expect(runs[0] == runs[1] && runs[1] == runs[2])
  }
}
