import TensorOperations
import TestSupport
import Testing

/// The operations that move numbers, and how samples lie in a batch.
@Suite struct MemoryTests {
  @Test(arguments: [(1, 1), (3, 5), (129, 7), (513, 84)], TestDevice.all)
  func copyAndAdd(shape: (rows: Int, columns: Int), device: TestDevice) throws {
    let (N, D) = shape
    var numbers = SeededNumbers(seed: 1)
    let (x, y) = (numbers.floats(N * D), numbers.floats(N * D))
    let ops = try device.makeOperations()
    let (X, Y) = (GuardedTensor(ops, N, D, x), GuardedTensor(ops, N, D))
    ops.copy(Y.tensor, from: X.tensor)
    #expect(Y.values() == x)
    ops.upload(Y.tensor, from: y)
    ops.add(Y.tensor, X.tensor)
    #expect(Y.values() == zip(y, x).map { $0 + $1 })
    expectUnchanged(X, x)
    var downloaded = [Float](repeating: .nan, count: N * D + 1)
    ops.download(&downloaded, from: X.tensor)
    #expect(Array(downloaded.dropLast()) == x && downloaded.last!.isNaN)
  }

  /// More copies than are under way at a time, of all rows and of some, from memory that changes at once.
  @Test(arguments: TestDevice.all) func uploadsBesideTheWork(device: TestDevice) throws {
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 5)
    let (N, D) = (9, 5)
    let choices: [[Int32]?] = [nil, [0, 4, 8], [8, 3, 3], [], nil, [5], [0, 1, 2, 3, 4, 5, 6, 7, 8]]
    for _ in 0..<2 {
      let x = choices.map { _ in numbers.floats(N * D) }
      var host = [Float](repeating: .nan, count: N * D)
      let found = choices.map { GuardedTensor(ops, $0?.count ?? N, D) }
      for (index, rows) in choices.enumerated() {
        host = x[index]
        ops.upload(found[index].tensor, from: host, rows: rows)
        host = Array(repeating: .nan, count: N * D)
      }
      for (index, rows) in choices.enumerated() {
        let expected = (rows ?? Array(0..<Int32(N))).flatMap { x[index][Int($0) * D..<(Int($0) + 1) * D] }
        #expect(found[index].values() == expected)
      }
    }
    let double = ops.makeDoubleOperations()
    let tensor = double.makeTensor(rows: 2, columns: D)
    let y = numbers.floats(N * D)
    double.upload(tensor, from: y, rows: [7, 2])
    var back = [Float](repeating: .nan, count: 2 * D)
    double.download(&back, from: tensor)
    #expect(back == Array(y[7 * D..<8 * D] + y[2 * D..<3 * D]))
  }

  /// More copies than are under way at a time, of all rows and of some, from a tensor that changes at once.
  @Test(arguments: TestDevice.all) func downloadsBesideTheWork(device: TestDevice) throws {
    let ops = try device.makeOperations()
    var numbers = SeededNumbers(seed: 2)
    let (N, D) = (9, 5)
    let choices: [[Int32]?] = [nil, [0, 4, 8], [8, 3, 3], [], nil, [5], [0, 1, 2, 3, 4, 5, 6, 7, 8]]
    for _ in 0..<2 {
      let x = choices.map { _ in numbers.floats(N * D) }
      let X = ops.makeTensor(rows: N, columns: D)
      let found = UnsafeMutablePointer<Float>.allocate(capacity: choices.count * N * D)
      defer { found.deallocate() }
      found.initialize(repeating: 7, count: choices.count * N * D)
      for (index, rows) in choices.enumerated() {
        ops.upload(X, from: x[index])
        ops.startDownload(found + index * N * D, from: X, rows: rows)
        ops.upload(X, from: [Float](repeating: 0, count: N * D))
      }
      ops.finishDownloads()
      for (index, rows) in choices.enumerated() {
        let expected = (rows ?? Array(0..<Int32(N))).flatMap { x[index][Int($0) * D..<(Int($0) + 1) * D] }
        let part = (0..<N * D).map { found[index * N * D + $0] }
        #expect(part == expected + Array(repeating: 7, count: N * D - expected.count))
      }
    }
  }

  @Test(arguments: TestDevice.all) func addPassesNaNOn(device: TestDevice) throws {
    let ops = try device.makeOperations()
    let (X, Y) = (GuardedTensor(ops, 1, 3, [.nan, 1, 1]), GuardedTensor(ops, 1, 3, [1, 1, .nan]))
    ops.add(Y.tensor, X.tensor)
    #expect(Y.values().map(\.isNaN) == [true, false, true])
  }

  @Test func firstRowsOfATensor() throws {
    let ops = try CPUOperations(threads: 1)
    let X = GuardedTensor(ops, 3, 2, [1, 2, 3, 4, 5, 6])
    let first = X.tensor.first(rows: 2)
    #expect((first.rows, first.columns, first.count) == (2, 2, 4) && first.address == X.tensor.address)
  }

  @Test func positionsStartAnewInEverySample() {
    let samples = PackedSamples([
      .init(rows: 0..<3, valid: 3), .init(rows: 3..<4, valid: 1), .init(rows: 4..<6, valid: 1),
    ])
    #expect(samples.rowCount == 6)
  }
}
