import TensorOperations
import TestSupport
import Testing

/// Products with matrices of either order, activation rules, sparse decoding and summed magnitudes, against plain loops
/// in Double.
@Suite struct SparseFeatureTests {
  struct Shape: Sendable { let rows, width, features: Int }

  static let shapes = [
    Shape(rows: 1, width: 5, features: 3), Shape(rows: 7, width: 16, features: 513),
    Shape(rows: 130, width: 33, features: 1301),
  ]

  /// A (width, features) matrix, in memory in either order.
  private func matrix(
    _ operations: any TensorOperations, _ shape: Shape, _ values: [Float], columnMajor: Bool
  ) throws -> Matrix {
    let (D, F) = (shape.width, shape.features)
    let host = try CPUOperations(threads: 1).makeTensor(rows: columnMajor ? F : D, columns: columnMajor ? D : F)
    for d in 0..<D {
      for f in 0..<F { host.address[columnMajor ? f * D + d : d * F + f] = values[d * F + f] }
    }
    return operations.makeMatrix(columnMajor ? Matrix(host).transposed : Matrix(host))
  }

  private func tensor(_ operations: any TensorOperations, _ rows: Int, _ columns: Int, _ values: [Float]) -> Tensor {
    let tensor = operations.makeTensor(rows: rows, columns: columns)
    operations.upload(tensor, from: values)
    return tensor
  }

  /// Of p (rows,features) what the device finds, in host memory.
  private func found(
    _ operations: any TensorOperations, _ rows: Int, _ p: [Float], by activation: Activation
  ) -> ActiveFeatures {
    var features: [ActiveFeatures] = []
    let onDevice = operations.activate(
      tensor(operations, rows, p.count / max(rows, 1), p), by: activation.placed(on: operations))
    #expect(onDevice.rowCount == rows)
    operations.startDownload(onDevice) { features.append($0) }
    operations.finishDownloads()
    #expect(features.count == 1)
    return features[0]
  }

  private func values(_ operations: any TensorOperations, _ tensor: Tensor) -> [Float] {
    var values = [Float](repeating: 0, count: tensor.count)
    operations.download(&values, from: tensor)
    return values
  }

  @Test(arguments: shapes.flatMap { [($0, false), ($0, true)] }, TestDevice.all + TestDevice.splitting)
  func productsAndMagnitudes(_ matrixShape: (Shape, columnMajor: Bool), _ device: TestDevice) throws {
    let (shape, columnMajor) = matrixShape
    var numbers = SeededNumbers(seed: 3)
    let operations = try device.makeOperations()
    let (N, D, F) = (shape.rows, shape.width, shape.features)
    let (x, m, b) = (numbers.floats(N * D), numbers.floats(D * F), numbers.floats(F))
    let M = try matrix(operations, shape, m, columnMajor: columnMajor)
    var expected = [Double](repeating: 0, count: N * F)
    for n in 0..<N {
      for f in 0..<F {
        expected[n * F + f] = (0..<D).reduce(0) { $0 + Double(x[n * D + $1]) * Double(m[$1 * F + f]) }
      }
    }
    let y = operations.makeTensor(rows: N, columns: F)
    operations.product(
      y: y, x: tensor(operations, N, D, x), matrix: M, bias: tensor(operations, 1, F, b), accumulate: false)
    #expect(relativeL2(values(operations, y), expected.indices.map { expected[$0] + Double(b[$0 % F]) }) < 1e-6)

    // Accumulates: what was there stays.
    let sums = operations.makeSums(F)
    let ends = N > 2 ? [1, 1, N / 2, N] : [N]
    let parts = Shown(parts: ends.count, columns: F)
    for show in [{ _, _, _ in }, parts.show] {
      operations.addMagnitudes(
        ofProduct: tensor(operations, N, D, x), matrix: M, to: sums, partsEndingAt: ends, show: show)
    }
    for (part, (start, end)) in zip([0] + ends, ends).enumerated() {
      let ofPart = (0..<F).map { f in (start..<end).reduce(0.0) { $0 + abs(expected[$1 * F + f]) } }
      #expect(zip(parts.values[part], ofPart).allSatisfy { abs($0 - $1) <= 1e-4 * max(1, $1) })
      #expect(start == end || relativeL2(parts.values[part], ofPart) < 1e-6)
    }
    let magnitudes = (0..<F).map { f in (0..<N).reduce(0.0) { $0 + 2 * abs(expected[$1 * F + f]) } }
    #expect(relativeL2(operations.takeSums(sums), magnitudes) < 1e-6)
    #expect(operations.takeSums(sums) == Array(repeating: 0, count: F))

    // Rows behind the parts, and rows alone, are shown as they are and change no sum.
    for inParts in [0, N / 3] {
      let all = Shown(parts: (inParts > 0 ? 1 : 0) + N - inParts, columns: F)
      let sums = inParts > 0 ? operations.makeSums(F) : nil
      operations.addMagnitudes(
        ofProduct: tensor(operations, N, D, x), matrix: M, to: sums, partsEndingAt: inParts > 0 ? [inParts] : [],
        show: all.show)
      #expect(relativeL2(all.values.suffix(N - inParts).flatMap { $0 }, Array(expected[(inParts * F)...])) < 1e-6)
      #expect(all.times.allSatisfy { $0.allSatisfy { $0 == 1 } })
      let others = sums.map(operations.takeSums) ?? []
      let ofPart = (0..<others.count).map { f in (0..<inParts).reduce(0.0) { $0 + abs(expected[$1 * F + f]) } }
      #expect(inParts == 0 || (relativeL2(others, ofPart) < 1e-6 && relativeL2(all.values[0], ofPart) < 1e-6))
    }
    #expect(parts.times.allSatisfy { $0.allSatisfy { $0 == 1 } })

    let vector = (0..<F).map { _ in Double.random(in: -1...1, using: &numbers) }
    let product = (0..<D).map { d in (0..<F).reduce(0.0) { $0 + Double(m[d * F + $1]) * vector[$1] } }
    // A matrix in two halves has 22 bits.
    #expect(relativeL2(operations.product(M, vector), product) < (M.type == .f32 ? 1e-12 : 1e-7))
  }

  @Test(arguments: shapes, TestDevice.all) func columnsAreScaled(_ shape: Shape, _ device: TestDevice) throws {
    var numbers = SeededNumbers(seed: 10)
    let operations = try device.makeOperations()
    let (N, F) = (shape.rows, shape.features)
    let (x, factors) = (numbers.floats(N * F), numbers.floats(F))
    let X = GuardedTensor(operations, N, F, x)
    operations.scaleColumns(X.tensor, by: operations.makeRow(factors))
    #expect(X.values() == x.indices.map { x[$0] * factors[$0 % F] })
  }

  /// With factors and without; a second time from the same memory, where the first ones lay.
  @Test(arguments: shapes.flatMap { [($0, false), ($0, true)] }, TestDevice.all)
  func decodesWhatIsActive(_ matrixShape: (Shape, columnMajor: Bool), _ device: TestDevice) throws {
    let (shape, columnMajor) = matrixShape
    var numbers = SeededNumbers(seed: 4)
    let operations = try device.makeOperations()
    let (N, D, F) = (shape.rows, shape.width, shape.features)
    let (m, b, factors) = (numbers.floats(D * F), numbers.floats(D), numbers.floats(F))
    let host = try matrix(CPUOperations(threads: 1), shape, m, columnMajor: columnMajor).transposed
    let decoder = operations.makeDecoder(host)
    #expect((decoder.rows, decoder.columns) == (F, D))
    var kept: [ActiveFeatures] = []
    for period in [7, 5] {
      var p = numbers.floats(N * F)
      for i in p.indices where (i % F + i / F) % period != 0 { p[i] = 0 }
      let features = operations.activate(
        tensor(operations, N, F, p), by: Activation.topMagnitudes(F).placed(on: operations))
      operations.startDownload(features) { kept.append($0) }
      for factors in [nil, factors] {
        let y = GuardedTensor(operations, N, D)
        operations.decode(
          y: y.tensor, features: features, factors: factors.map(operations.makeRow), decoder: decoder,
          bias: operations.makeRow(b))
        var expected = (0..<N * D).map { Double(b[$0 % D]) }
        for i in p.indices where p[i] != 0 {
          let value = Double(p[i] * (factors?[i % F] ?? 1))
          for d in 0..<D { expected[i / F * D + d] += value * Double(m[d * F + i % F]) }
        }
        #expect(relativeL2(y.values(), expected) < 1e-7)
      }
      operations.finishDownloads()
      let last = kept.last!
      #expect(last.values == p.filter { $0 != 0 } && last.rowCount == N)
    }
    #expect(kept.count == 2)
  }

  /// More indices, and more values, than the 16 MB that are copied at a time.
  @Test(arguments: TestDevice.all) func moreFeaturesThanAreCopiedAtATime(_ device: TestDevice) throws {
    let count = (16 << 20) / MemoryLayout<Float>.stride + 1000
    let p = (0..<count).map { Float($0 % 999 + 1) }
    let features = found(try device.makeOperations(), 1, p, by: .relu)
    #expect(features.offsets == [0, Int64(count)])
    #expect(features.indices == Array(0..<Int32(count)) && features.values == p)
  }

  /// More features than copies are under way at a time lie one after another, and none at all in their turn.
  @Test(arguments: TestDevice.all) func featuresComeDownInTheirOrder(_ device: TestDevice) throws {
    let operations = try device.makeOperations()
    var numbers = SeededNumbers(seed: 9)
    let blocks = [3, 1, 5, 2, 4].map { rows in numbers.floats(rows * 50).map { rows == 1 ? -1 : $0 } }
    var found: [ActiveFeatures] = []
    for p in blocks {
      let x = tensor(operations, p.count / 50, 50, p)
      operations.startDownload(operations.activate(x, by: .relu)) { found.append($0) }
      // What is decoded, or computed, meanwhile leaves them alone.
      operations.upload(x, from: [Float](repeating: 0, count: x.count))
    }
    operations.finishDownloads()
    #expect(found == blocks.map { ActiveFeatures(positive: $0, columns: 50) })
    operations.finishDownloads()
    #expect(found.count == blocks.count)
  }

  @Test(arguments: TestDevice.all) func activationRules(_ device: TestDevice) throws {
    let operations = try device.makeOperations()
    let p: [Float] = [0.5, -3, 2, 0.5, 0, 2, -0.1, 1]
    func active(_ activation: Activation) -> [Int32: Float] {
      let features = found(operations, 1, p, by: activation)
      #expect(features.rowCount == 1 && features.indices == features.indices.sorted())
      return Dictionary(uniqueKeysWithValues: zip(features.indices, features.values))
    }
    #expect(active(.relu) == [0: 0.5, 2: 2, 3: 0.5, 5: 2, 7: 1])
    #expect(active(.threshold(0.5)) == [2: 2, 5: 2, 7: 1])
    #expect(active(.threshold(-1)) == active(.relu))
    #expect(active(.thresholds([0, 0, 2, 0.4, 0, 1.9, 0, -5])) == [0: 0.5, 3: 0.5, 5: 2, 7: 1])
    #expect(active(.topK(4)) == [0: 0.5, 2: 2, 5: 2, 7: 1])
    #expect(active(.topK(8)) == active(.relu))
    #expect(active(.topMagnitudes(2)) == [1: -3, 2: 2])
    #expect(active(.groupMax(groups: 2)) == [2: 2, 5: 2])
    #expect(active(.groupMax(groups: 1)) == [2: 2], "the first of equal ones")
    let gated = Activation.gated(
      gateBias: [0, 4, 0, -1, 0, 0, 1, 0], magnitudeFactors: Array(repeating: 2, count: 8),
      magnitudeBias: [0, 7, 0, 0, 0, -5, 1, 0])
    #expect(active(gated) == [0: 1, 1: 1, 2: 4, 6: 0.8, 7: 2])
  }

  /// Many rows, of which some have no active feature and some nothing else.
  @Test(arguments: [Activation.relu, .topK(9), .thresholds((0..<700).map { Float($0 % 3) / 2 })], TestDevice.all)
  func everyRowHasItsOwnFeatures(_ activation: Activation, _ device: TestDevice) throws {
    var numbers = SeededNumbers(seed: 6)
    let operations = try device.makeOperations()
    let (N, F) = (7, 700)
    var p = numbers.floats(N * F)
    for f in 0..<F { (p[F + f], p[4 * F + f]) = (-1, 2 - Float(f) / 1000) }
    let features = found(operations, N, p, by: activation)
    #expect(features.rowCount == N)
    for n in 0..<N {
      let range = features.range(ofRows: n..<n + 1)
      let row = (indices: features.indices[range], values: Array(features.values[range]))
      let p_n = Array(p[n * F..<(n + 1) * F])
      let expected =
        switch activation {
        case .topK(let k):
          p_n.indices.sorted { (-p_n[$0], $0) < (-p_n[$1], $1) }.prefix(k).filter { p_n[$0] > 0 }.sorted()
        case .thresholds(let thresholds): p_n.indices.filter { p_n[$0] > thresholds[$0] }
        default: p_n.indices.filter { p_n[$0] > 0 }
        }
      #expect(row.indices.map { Int($0) } == expected, "row \(n)")
      #expect(row.values == expected.map { p_n[$0] }, "row \(n)")
    }
  }

  /// Rows that are taken block by block, in one matrix; and parts of it.
  @Test(arguments: TestDevice.all) func blocksOfRowsJoin(_ device: TestDevice) throws {
    var numbers = SeededNumbers(seed: 8)
    let operations = try device.makeOperations()
    let (N, F) = (60, 40)
    var p = numbers.floats(N * F)
    for f in 0..<F { (p[3 * F + f], p[59 * F + f]) = (-1, -1) }
    let all = found(operations, N, p, by: .relu)
    #expect(all.rowCount == N && all.count == all.values.count && all.offsets.last == Int64(all.count))
    let starts = [0, 1, 4, 4, 59, N]
    let blocks = zip(starts, starts.dropFirst()).map { start, end in
      found(operations, end - start, Array(p[start * F..<end * F]), by: .relu)
    }
    #expect(ActiveFeatures(joining: blocks) == all)
    #expect(ActiveFeatures(joining: [ActiveFeatures]()) == ActiveFeatures())
    for (rows, block) in zip(zip(starts, starts.dropFirst()), blocks) {
      let part = all.rows(rows.0..<rows.1)
      #expect(ActiveFeatures(offsets: part.offsets, indices: Array(part.indices), values: Array(part.values)) == block)
    }
  }

  /// The k largest of many, against sorting, with ties.
  @Test(arguments: [1, 2, 31, 500, 999], TestDevice.all)
  func topKIsWhatSortingGives(_ k: Int, _ device: TestDevice) throws {
    var numbers = SeededNumbers(seed: UInt64(k))
    let operations = try device.makeOperations()
    let p = numbers.floats(1000).map { ($0 * 50).rounded() / 50 }
    let found = found(operations, 1, p, by: .topK(k))
    let expected = p.indices.sorted { (-p[$0], $0) < (-p[$1], $1) }.prefix(k).filter { p[$0] > 0 }.sorted()
    #expect(found.indices.map { Int($0) } == expected)
  }

  @Test(arguments: TestDevice.all) func notANumberStaysActive(_ device: TestDevice) throws {
    let operations = try device.makeOperations()
    for activation in [Activation.relu, .topK(1), .topMagnitudes(1), .groupMax(groups: 1)] {
      let features = found(operations, 1, [1, .nan, 2], by: activation)
      #expect(features.values.contains { $0.isNaN }, "\(activation)")
    }
  }
}

extension ActiveFeatures {
  /// What is above 0 of a matrix.
  fileprivate init(positive p: [Float], columns: Int) {
    let active = p.indices.filter { p[$0] > 0 }
    self.init(
      offsets: (0...p.count / columns).map { row in Int64(active.count { $0 < row * columns }) },
      indices: active.map { Int32($0 % columns) }, values: active.map { p[$0] })
  }
}

/// What is shown of a product's parts. Each thread writes what no other does.
private final class Shown: @unchecked Sendable {
  private let columns: Int
  private let numbers: UnsafeMutablePointer<Double>
  private let counts: UnsafeMutablePointer<Int>
  private let parts: Int

  init(parts: Int, columns: Int) {
    (self.parts, self.columns) = (parts, columns)
    numbers = .allocate(capacity: parts * columns)
    counts = .allocate(capacity: parts * columns)
    counts.initialize(repeating: 0, count: parts * columns)
  }

  deinit {
    numbers.deallocate()
    counts.deallocate()
  }

  func show(_ part: Int, _ shown: Range<Int>, _ sums: UnsafeMutablePointer<Double>) {
    for (i, column) in shown.enumerated() {
      numbers[part * columns + column] = sums[i]
      counts[part * columns + column] += 1
      // May be changed.
      sums[i] = .nan
    }
  }

  var values: [[Double]] {
    (0..<parts).map { Array(UnsafeBufferPointer(start: numbers + $0 * columns, count: columns)) }
  }
  /// How often each was shown.
  var times: [[Int]] { (0..<parts).map { Array(UnsafeBufferPointer(start: counts + $0 * columns, count: columns)) } }
}
