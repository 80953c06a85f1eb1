import Decoders
import Foundation
import SystemIO
import TensorFiles
import TestSupport
import Testing

/// Streams name the model they come from: the same for the same weights in any files, another for any other.
@Suite struct WeightIdentityTests {
  @Test func theSameModelHasOne() throws {
    func identity(_ name: String) throws -> [String: String] {
      try Checkpoint("\(GoldenFile.folder)/\(name)").identity.filter { $0.key != "model" }
    }
    #expect(try identity("f16") == identity("f16"))
    #expect(try identity("f16").keys.sorted() == ["model.config.xxh64", "model.weights.xxh64"])
    let weights = try Set(["f16", "f32", "bf16-sharded"].map { try identity($0)["model.weights.xxh64"] })
    #expect(weights.count == 3)
  }

  /// One bit of any tensor: the golden models' tensors are small enough to be hashed whole.
  @Test func everySmallTensorCounts() throws {
    let folder = try ModelFolder("f16")
    try folder.write()
    let identity = try folder.weights()
    for (name, tensor) in folder.tensors {
      for place in [0, tensor.bytes.count / 2, tensor.bytes.count - 1] {
        folder.tensors[name]!.bytes[place] ^= 1
        try folder.write()
        #expect(try folder.weights() != identity, "\(name), byte \(place)")
        folder.tensors[name] = tensor
      }
    }
    try folder.write()
    #expect(try folder.weights() == identity)
  }

  @Test func typesAndShapesCount() throws {
    let folder = try ModelFolder("f16")
    try folder.write()
    let identity = try folder.weights()
    folder.tensors["model.layers.0.mlp.up_proj.weight"]!.type = .bf16
    try folder.write()
    #expect(try folder.weights() != identity)
  }

  /// Of a large tensor its ends, and a change of some percent of its bytes, wherever it is spread.
  @Test func largeTensorsAreSampled() throws {
    let folder = try ModelFolder("f16")
    let rows = 40_000
    try folder.setEntry("vocab_size", "\(rows)")
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
      folder.tensors[name] = .init(
        type: .f16, shape: [rows, 40], bytes: (0..<rows * 80).map { UInt8(truncatingIfNeeded: $0 * 7 / 3) & 0x3b })
    }
    try folder.write()
    let identity = try folder.weights()
    let head = folder.tensors["lm_head.weight"]!
    var numbers = SeededNumbers(seed: 3)
    var changes: [[Int]] = [[0], [head.bytes.count - 1], [head.bytes.count - 256]]
    changes.append((0..<head.bytes.count / 100).map { _ in Int.random(in: 0..<head.bytes.count, using: &numbers) })
    for places in changes {
      for place in places { folder.tensors["lm_head.weight"]!.bytes[place] ^= 1 }
      try folder.write()
      #expect(try folder.weights() != identity, "\(places.prefix(1))")
      folder.tensors["lm_head.weight"] = head
    }
  }

  /// Of a checkpoint that the page cache does not hold, opening reads the samples and no more.
  @Test func openingReadsLittleOfAFile() throws {
    let folder = try ModelFolder("f16")
    let rows = 400_000
    try folder.setEntry("vocab_size", "\(rows)")
    for name in ["model.embed_tokens.weight", "lm_head.weight"] {
      folder.tensors[name] = .init(type: .f16, shape: [rows, 40], bytes: Array(repeating: 0x3b, count: rows * 80))
    }
    try folder.write()
    let path = folder.temporary.file("model.safetensors")
    let descriptor = open(path, O_RDONLY)
    defer { close(descriptor) }
    #expect(fsync(descriptor) == 0 && posix_fadvise(descriptor, 0, 0, POSIX_FADV_DONTNEED) == 0)
    // Of two tensors a fifth: the system may read 8 MB ahead of the header.
    let most = 2 * rows * 80 / 5
    // A file system in memory has no other place for it.
    guard try cachedBytes(path) < most else { return }
    _ = try Checkpoint(folder.path)
    let cached = try cachedBytes(path)
    #expect(cached < most, "\(cached)")
  }

  /// How much of a file is in the page cache.
  private func cachedBytes(_ path: String) throws -> Int {
    let file = try MappedFile(path: path)
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    var pages = [UInt8](repeating: 0, count: (file.bytes.count + page - 1) / page)
    let address = UnsafeMutableRawPointer(mutating: file.bytes.baseAddress!)
    try #require(mincore(address, file.bytes.count, &pages) == 0)
    return pages.reduce(0) { $0 + Int($1 & 1) } * page
  }
}
