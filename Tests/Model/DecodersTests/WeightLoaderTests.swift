import Decoders
import SystemIO
import TensorFiles
import TensorOperations
import Testing

/// Views of stored tensors that families name: transposed ones, and slices of fused ones.
@Suite struct WeightViewTests {
  private final class Numbers: TensorStorage, @unchecked Sendable {
    private let buffer: AlignedBuffer
    private let count: Int

    init(_ values: [Float]) {
      count = values.count
      buffer = AlignedBuffer(capacity: 4 * count)
      buffer.address.copyMemory(from: values, byteCount: 4 * count)
    }

    func bytes() -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: buffer.address, count: 4 * count) }
  }

  /// (3,2): 0 1 / 2 3 / 4 5
  private func tensor() throws -> StoredTensor {
    try StoredTensor(type: .f32, shape: [3, 2], storage: Numbers([0, 1, 2, 3, 4, 5]), storageCount: 6)
  }

  @Test func transposed() throws {
    let transposed = try tensor().transposed
    #expect(transposed.shape == [2, 3])
    #expect(try transposed.doubles() == [0, 2, 4, 1, 3, 5])
    #expect(!transposed.isContiguous)
    #expect(try transposed.transposed.doubles() == tensor().doubles())
    #expect(try transposed.selecting(rows: 1..<2).doubles() == [1, 3, 5])
  }

  @Test func rows() throws {
    let middle = try tensor().selecting(rows: 1..<3)
    #expect(middle.shape == [2, 2] && middle.isContiguous)
    #expect(try middle.doubles() == [2, 3, 4, 5])
    #expect(try tensor().selecting(rows: 2..<2).doubles() == [])
  }

  @Test func rowsOfEachGroup() throws {
    let values = (0..<12).map { Float($0) }
    let tensor = try StoredTensor(type: .f32, shape: [6, 2], storage: Numbers(values), storageCount: 12)
    let second = try tensor.selecting(rows: 1..<2, ofEach: 3)
    #expect(second.shape == [2, 2] && second.isContiguous)
    #expect(try second.doubles() == [2, 3, 8, 9])
    #expect(try tensor.selecting(rows: 0..<2, ofEach: 3).doubles() == [0, 1, 2, 3, 6, 7, 8, 9])
    #expect(WeightPart.ofEach(3, 1..<2).rows(of: 6) == [1..<2, 4..<5])
  }

  @Test func namesOfATable() {
    let table = WeightTable(
      [
        .embedding: WeightSource("model.embed.weight", [7, 4]), .finalNorm: WeightSource("model.norm.weight", [4]),
        .head: WeightSource("head.weight", [7, 4]),
        .query: WeightSource("model.h.{layer}.qkv", [4, 12], isTransposed: true, part: .range(0..<4)),
        .key: WeightSource("model.h.{layer}.qkv", [4, 12], isTransposed: true, part: .range(4..<8)),
        .keyBias: WeightSource("model.h.{layer}.bias", [12], part: .range(4..<8), isOptional: true),
      ], layerCount: 2, prefix: "model.", renamed: ["old_head.": "head."], withoutEffect: [".mask."])
    #expect(
      table.shapes == [
        "model.embed.weight": [7, 4], "model.norm.weight": [4], "head.weight": [7, 4], "model.h.0.qkv": [4, 12],
        "model.h.1.qkv": [4, 12], "model.h.0.bias": [12], "model.h.1.bias": [12],
      ])
    #expect(table.optionalNames == ["model.h.0.bias", "model.h.1.bias"])
    #expect(table.canonicalName("h.1.qkv") == "model.h.1.qkv")
    #expect(table.canonicalName("model.head.weight") == "head.weight")
    #expect(table.canonicalName("old_head.weight") == "head.weight")
    #expect(table.canonicalName("h.2.qkv") == nil)
    #expect(table.layer(of: "h.2.qkv") == 2 && table.layer(of: "model.h.12.mask") == 12)
    #expect(table.layer(of: "tower.h.2.qkv") == nil && table.layer(of: "h.99999999999999999999.x") == nil)
    #expect(table.isWithoutEffect("h.0.mask.x") && !table.isWithoutEffect("h.0.masks"))
  }
}
