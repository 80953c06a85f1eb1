import SystemIO
import TensorFiles
import TensorOperations
import Testing

/// Matrices as files have them, in host memory and on every device.
@Suite struct StoredMatrixTests {
  /// Bytes at a distance from an aligned address.
  private final class Memory: TensorStorage, @unchecked Sendable {
    private let memory: UnsafeMutableRawPointer
    private let content: UnsafeRawBufferPointer

    init(_ bytes: [UInt8], offset: Int) {
      memory = .allocate(byteCount: bytes.count + offset, alignment: 64)
      content = UnsafeRawBufferPointer(start: memory + offset, count: bytes.count)
      bytes.withUnsafeBytes { (memory + offset).copyMemory(from: $0.baseAddress!, byteCount: bytes.count) }
    }

    deinit { memory.deallocate() }

    func bytes() -> UnsafeRawBufferPointer { content }
  }

  /// Whole numbers, which all types hold: element i is i − 20.
  private static func stored(
    _ type: ElementType, shape: [Int], strides: [Int]? = nil, offset: Int = 0, count: Int = 64
  ) throws -> StoredTensor {
    let bytes = (0..<count).flatMap { index -> [UInt8] in
      let value = Float(index - 20)
      func little<T>(_ value: T) -> [UInt8] { withUnsafeBytes(of: value) { Array($0) } }
      return switch type {
      case .f64: little(Double(value))
      case .bf16: little(UInt16(value.bitPattern >> 16))
      case .f16: little(halves[value.magnitude]! | (value < 0 ? 0x8000 : 0))
      default: little(value)
      }
    }
    return try StoredTensor(
      type: type, shape: shape, strides: strides, storage: Memory(bytes, offset: offset), storageCount: count)
  }

  /// The bits of small whole numbers in binary16.
  private static let halves: [Float: UInt16] = Dictionary(
    uniqueKeysWithValues: (0..<64).map { number in
      let exponent = number == 0 ? 0 : Int.bitWidth - 1 - number.leadingZeroBitCount
      return (Float(number), number == 0 ? 0 : UInt16((exponent + 15) << 10 | (number << (10 - exponent)) & 0x3ff))
    })

  /// Shapes and strides; whether a product can read them, and whether by columns.
  private static let layouts: [(shape: [Int], strides: [Int], isReadable: Bool, byColumns: Bool)] = [
    ([3, 4], [4, 1], true, false), ([3, 4], [7, 1], true, false), ([3, 4], [1, 3], true, true),
    ([3, 4], [1, 9], true, true), ([3, 4], [14, 3], false, false), ([1, 5], [9, 1], true, false),
    ([5, 1], [3, 1], true, false), ([4, 3], [2, 1], false, false),
  ]

  @Test(arguments: [ElementType.f32, .bf16, .f16, .f64], TestDevice.all)
  func everyLayoutIsTheSameMatrix(_ type: ElementType, _ device: TestDevice) throws {
    let operations = try device.makeOperations()
    for (shape, strides, isReadable, byColumns) in Self.layouts {
      for offset in [0, 4, 1] where offset % 4 == 0 || type != .f64 {
        for isTransposed in [false, true] {
          let tensor = try Self.stored(type, shape: shape, strides: strides, offset: offset)
          let stored = isTransposed ? tensor.transposed : tensor
          let (rows, columns) = (stored.rows, stored.columns)
          for asFloat in [false, true] {
            let host = try Matrix(stored, asFloat: asFloat)
            let base = try stored.bytes().baseAddress
            let isOwn =
              type == .f32 ? offset % 4 == 0 && isReadable : isReadable && !asFloat && [.bf16, .f16].contains(type)
            #expect((host.address == base) == isOwn, "\(type) \(shape) \(strides) at \(offset)")
            #expect(host.type == (isOwn ? type : .f32) && (host.rows, host.columns) == (rows, columns))
            if isReadable, rows > 1, columns > 1 { #expect(host.isColumnMajor == (byColumns != isTransposed)) }
            let unit = operations.makeTensor(rows: rows, columns: rows)
            operations.upload(unit, from: (0..<rows * rows).map { $0 % (rows + 1) == 0 ? 1 : 0 })
            let y = operations.makeTensor(rows: rows, columns: columns)
            operations.product(y: y, x: unit, matrix: operations.makeMatrix(host), bias: nil, accumulate: false)
            var found = [Float](repeating: .nan, count: y.count)
            operations.download(&found, from: y)
            #expect(found.map(Double.init) == (try stored.doubles()), "\(type) \(shape) \(strides) at \(offset)")
          }
        }
      }
    }
  }

  @Test func whatIsNoMatrixIsRefused() throws {
    func refusal(_ stored: StoredTensor) -> String {
      let failure = #expect(throws: Failure.self) { try Matrix(stored) }
      #expect(failure?.kind == .malformed)
      return failure?.description ?? ""
    }
    #expect(refusal(try Self.stored(.f32, shape: [2, 3, 4])) == "expected a matrix, found shape [2, 3, 4]")
    #expect(refusal(try Self.stored(.f32, shape: [12])) == "expected a matrix, found shape [12]")
    #expect(refusal(try Self.stored(.f32, shape: [0, 3])) == "expected a matrix, found shape [0, 3]")
    #expect(refusal(try Self.stored(.i32, shape: [4, 3])) == "expected F32, BF16, F16 or F64, found I32")
    #expect(
      refusal(try Self.stored(.f32, shape: [64, 2], strides: [1, 0]))
        == "shape [64, 2], strides [1, 0]: expected elements of its own, found 64")
  }
}
