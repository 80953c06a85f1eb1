import TensorFiles
import TensorOperations
import Testing

@Suite struct WideningTests {
  /// All 65,536 bit patterns, two to a byte offset of 1 as in a file whose header has an odd length.
  private static func widenAll(_ type: ElementType) -> [Float] {
    let patterns = (0...UInt16.max).flatMap { [UInt8(truncatingIfNeeded: $0), UInt8($0 >> 8)] }
    let bytes = [0] + patterns
    var values = [Float](repeating: 7, count: 65_537)
    bytes.withUnsafeBytes { widen(&values, $0.baseAddress! + 1, 65_536, type) }
    #expect(values.last == 7, "widen wrote one element too many")
    return values.dropLast()
  }

  @Test func everyBFloat16() {
    let wrong = Self.widenAll(.bf16).enumerated().filter { $1.bitPattern != UInt32($0) << 16 }
    #expect(wrong.isEmpty, "\(wrong.count) patterns, the first is \(wrong[0])")
  }

  @Test func everyFloat16() {
    let wrong = Self.widenAll(.f16).enumerated().filter { !Self.isRight($1, float16: $0) }
    #expect(wrong.isEmpty, "\(wrong.count) patterns, the first is \(wrong[0])")
  }

  /// By the definition of binary16: a sign, 5 bits of exponent, 10 of fraction. A NaN keeps its bits.
  private static func isRight(_ value: Float, float16 bits: Int) -> Bool {
    let sign: Float = bits >> 15 == 0 ? 1 : -1
    let (exponent, fraction) = (bits >> 10 & 31, bits & 0x3ff)
    let expected: Float
    switch exponent {
    case 0: expected = sign * Float(fraction) * 0x1p-24
    case 31 where fraction == 0: expected = sign * .infinity
    case 31: expected = Float(bitPattern: UInt32(bits >> 15) << 31 | 0x7f80_0000 | UInt32(fraction) << 13)
    default: expected = sign * Float(1024 + fraction) * Float(sign: .plus, exponent: exponent - 25, significand: 1)
    }
    return value.bitPattern == expected.bitPattern
  }

  /// Published pairs: 3.14 and 1.01953125 as bf16, 65504 and the smallest subnormal as f16.
  @Test func knownNumbers() {
    #expect(Self.widenAll(.bf16)[0x4049] == 3.140625)
    #expect(Self.widenAll(.bf16)[0x3f82] == 1.015625)
    #expect(Self.widenAll(.f16)[0x7bff] == 65_504)
    #expect(Self.widenAll(.f16)[0x0001] == 0x1p-24)
  }

  /// The same as weights of a device, each times 1.
  @Test(arguments: [ElementType.bf16, .f16], TestDevice.all)
  func everyPatternAsAWeight(_ type: ElementType, _ device: TestDevice) throws {
    let ops = try device.makeOperations()
    let owner = Patterns()
    let weight = ops.makeMatrix(
      Matrix(
        rows: 1, columns: 65_536, isColumnMajor: false, leadingDimension: 65_536, type: type,
        address: owner.bytes.baseAddress!, owner: owner))
    let (X, Y) = (GuardedTensor(ops, 1, 1, [1]), GuardedTensor(ops, 1, 65_536))
    ops.product(y: Y.tensor, x: X.tensor, matrix: weight, bias: nil, accumulate: false)
    let wrong = zip(Y.values(), Self.widenAll(type)).enumerated().filter { _, pair in
      pair.0 != pair.1 && !(pair.0.isNaN && pair.1.isNaN)
    }
    #expect(wrong.isEmpty, "\(wrong.count) patterns, the first is \(wrong[0])")
  }

  /// All bit patterns of 16 bits.
  private final class Patterns {
    let bytes = UnsafeRawBufferPointer(UnsafeMutableRawBufferPointer.allocate(byteCount: 131_072, alignment: 64))

    init() {
      for pattern in 0...UInt16.max {
        UnsafeMutableRawBufferPointer(mutating: bytes).storeBytes(
          of: pattern, toByteOffset: 2 * Int(pattern), as: UInt16.self)
      }
    }

    deinit { bytes.deallocate() }
  }
}
