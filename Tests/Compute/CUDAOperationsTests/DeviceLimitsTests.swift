import CUDAOperations
import SystemIO
import TensorOperations
import TestSupport
import Testing

/// What a GPU has room for, and what it cannot compute.
@Suite(.enabled(if: StandInGPU.folder != nil, "\(StandInGPU.absence)"))
struct DeviceLimitsTests {
  private func makeOperations() throws -> CUDAOperations { try CUDAOperations(folder: StandInGPU.folder) }

  /// Of 8 GiB a tenth and 256 MiB are left alone.
  @Test func rowsFollowFromMemory() throws {
    let operations = try makeOperations()
    let free = (8 << 30) / 10 * 9 - 256 << 20
    for bytes in [2 << 20, 3_000_000, 50 << 20] {
      // The stand-in's memory is that of all tests which run at the time.
      let most = free / bytes
      #expect((most * 3 / 4...most).contains(operations.passRows(bytesPerRow: bytes)), "\(bytes)")
    }
    #expect(operations.passRows(bytesPerRow: 1000) == 8192)
    #expect(operations.passRows(bytesPerRow: 0) == 8192)
    #expect(operations.passRows(bytesPerRow: 1 << 30) == 128)
    // What is in use is not free.
    let tensor = operations.makeTensor(rows: 1 << 20, columns: 512)
    #expect(operations.passRows(bytesPerRow: 3_000_000) <= (free - tensor.count * 4 / 10 * 9) / 3_000_000)
    // And what operations hold of the logits neither: 256 MiB are 85 rows more.
    let before = operations.passRows(bytesPerRow: 3_000_000)
    operations.heldNumbers = 0
    #expect(operations.passRows(bytesPerRow: 3_000_000) > before)
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
