import CUDAOperations
import SystemIO
import TensorOperations
import TestSupport
import Testing

/// What a GPU has room for, and what it cannot compute.
@Suite(.enabled(if: StandInGPU.folder != nil, "\(StandInGPU.absence)"))
struct DeviceLimitsTests {
  private func makeOperations() throws -> CUDAOperations { try CUDAOperations(folder: StandInGPU.folder) }

  /// A power of two, from what the card has and the process uses: half of the rest, but for what is held of the logits.
  @Test func rowsFollowFromMemory() throws {
    func rows(_ bytesPerRow: Int, used: Int = 0, held: Int = 0, total: Int = 8 << 30) -> Int {
      CUDAOperations.passRows(bytesPerRow: bytesPerRow, total: total, used: used, held: held)
    }
    #expect(rows(1 << 20) == 4096)
    #expect(rows(1 << 20, held: 1) == 2048)
    #expect(rows(1 << 20, used: 2 << 30) == 2048)
    #expect(rows(1 << 20, used: 2 << 30, total: 10 << 30) == 4096)
    #expect(rows(1_040_000, held: 1) == 4096)
    #expect(rows(0) == 8192 && rows(1000) == 8192)
    // Even where memory seems to be short.
    #expect(rows(1 << 30) == 128 && rows(1000, used: 9 << 30) == 128)
  }

  /// What is held of the logits is left out, and what other devices' objects use is not this one's.
  @Test func rowsOfADevice() throws {
    let operations = try makeOperations()
    let room = ((8 << 30) - operations.mostUsed) / 2
    #expect(operations.passRows(bytesPerRow: room / 8192) == 4096)
    operations.heldNumbers = 0
    #expect(operations.passRows(bytesPerRow: room / 8192) == 8192)
    let neighbour = try makeOperations()
    let tensor = neighbour.makeTensor(rows: 1 << 10, columns: 1 << 10)
    #expect(operations.passRows(bytesPerRow: room / 8192) == 8192)
    let own = operations.makeTensor(rows: 1 << 10, columns: 1 << 10)
    #expect(operations.passRows(bytesPerRow: room / 8192) == 4096)
    #expect(own.count == tensor.count)
  }

  /// In every precision whose factors a GPU may have: what a product makes of numbers that need no rounding.
  @Test(arguments: Precision.allCases) func productsOfEveryPrecision(_ precision: Precision) throws {
    let operations = try CUDAOperations(precision: precision, folder: StandInGPU.folder)
    let (N, I, O) = (5, 13, 9)
    let (x, w) = ((0..<N * I).map { Float($0 % 7 - 3) }, (0..<O * I).map { Float($0 % 5 - 2) })
    let (X, W, Y) = (
      operations.makeTensor(rows: N, columns: I), operations.makeTensor(rows: O, columns: I),
      operations.makeTensor(rows: N, columns: O)
    )
    operations.upload(X, from: x)
    operations.upload(W, from: w)
    var found = [Float](repeating: .nan, count: N * O)
    for accumulate in [false, true] {
      operations.product(y: Y, x: X, matrix: Matrix(W).transposed, bias: nil, accumulate: accumulate)
      operations.download(&found, from: Y)
      let expected = (0..<N * O).map { i in (0..<I).reduce(0) { $0 + x[i / O * I + $1] * w[i % O * I + $1] } }
      #expect(found == expected.map { accumulate ? 2 * $0 : $0 })
    }
    // 8 bits to the nearest, of two that are as near the even one, and nothing of a NaN is lost; 11 bits cut off.
    let factors: [(value: Float, tf32: Float, bf16: Float)] = [
      (1 + 0x1p-8, 1 + 0x1p-8, 1), (1 + 0x1p-8 + 0x1p-20, 1 + 0x1p-8, 1 + 0x1p-7),
      (1 + 0x1.8p-7, 1 + 0x1.8p-7, 1 + 0x1p-6), (-1 - 0x1.ffp-11, -1, -1), (.infinity, .infinity, .infinity),
      (Float(bitPattern: 0x7f80_0001), .nan, .nan), (0x1p-140, 0, 0),
    ]
    let row = operations.makeTensor(rows: factors.count, columns: 1)
    operations.upload(row, from: factors.map(\.value))
    let one = operations.makeTensor(rows: 1, columns: 1)
    operations.upload(one, from: [1 as Float])
    let y = operations.makeTensor(rows: factors.count, columns: 1)
    operations.linear(y: y, x: row, weight: Matrix(one))
    var products = [Float](repeating: 0, count: factors.count)
    operations.download(&products, from: y)
    for (product, factor) in zip(products, factors) {
      let expected: Float =
        switch precision {
        // Split are factors of weights in half precision, which these are not.
        case .auto, .float32, .split: factor.value
        case .tf32: factor.tf32
        case .bf16: factor.bf16
        }
      #expect(product == expected || product.isNaN && expected.isNaN, "\(factor.value)")
    }
  }

  @Test func theProcessorTakesWhatItsProductsWant() throws {
    let operations = try CPUOperations(threads: 1)
    for bytes in [0, 1, 1 << 40] { #expect(operations.passRows(bytesPerRow: bytes) == 1024) }
    #expect(operations.memoryReport == nil)
  }

  @Test func theMostMemoryIsReported() throws {
    let operations = try makeOperations()
    let before = operations.mostUsed
    for _ in 0..<3 { _ = operations.makeTensor(rows: 1 << 10, columns: 5 << 10) }
    #expect(operations.mostUsed == before + 20 << 20)
    #expect(operations.memoryReport == "cuda:0: at most \(operations.mostUsed >> 20) MiB in use")
  }

  @Test func attentionThatItCannotComputeIsRefused() throws {
    let operations = try makeOperations()
    try operations.check(AttentionShape(heads: 16, keyValueHeads: 4, headWidth: 128))
    try operations.check(AttentionShape(heads: 65_535, keyValueHeads: 1, headWidth: 2, softCap: 50, window: 7))
    try operations.check(AttentionShape(heads: 8, keyValueHeads: 4, headWidth: 256))
    let cases = [
      (AttentionShape(heads: 65_536, keyValueHeads: 1, headWidth: 128), "65535 attention heads of 128 dimensions"),
      (AttentionShape(heads: 32_768, keyValueHeads: 1, headWidth: 256), "32767 attention heads of 256 dimensions"),
    ]
    for (shape, words) in cases {
      let failure = #expect(throws: Failure.self) { try operations.check(shape) }
      #expect(failure?.kind == .unavailable && failure?.description.contains(words) == true, "\(words)")
      try CPUOperations(threads: 1).check(shape)
    }
  }
}
