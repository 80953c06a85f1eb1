import SystemIO

/// The numbers of a one-dimensional `.npy` file.
public enum NumPyVector: Equatable, Sendable {
  case float32([Float])
  case float64([Double])

  public init(path: String) throws {
    let file = try MappedFile(path: path)
    do {
      self = try Self(parsing: file.bytes)
    } catch let failure as Failure {
      throw failure.at(path)
    }
  }

  /// - Parameter bytes: a whole file: versions 1.0 to 3.0, float32 or float64 in either byte order, one dimension.
  public init(parsing bytes: UnsafeRawBufferPointer) throws {
    let (header, start) = try NumPyHeader.parse(bytes)
    guard !header.isFortranOrder || header.shape.count < 2 else {
      throw Failure(.malformed, "the array is in Fortran order: expected C order")
    }
    guard header.shape.count == 1 else {
      let shape = header.shape.map(String.init).joined(separator: " × ")
      throw Failure(
        .malformed, "expected one dimension, found \(header.shape.count)\(shape.isEmpty ? "" : ": \(shape)")")
    }
    let count = header.shape[0]
    let (byteCount, overflow) = count.multipliedReportingOverflow(by: header.element.byteCount)
    let found = bytes.count - start
    guard !overflow, found >= byteCount else {
      throw Failure(
        .malformed, "truncated: expected \(count) × \(header.element.byteCount) bytes of numbers, found \(found)")
    }
    guard found == byteCount else {
      throw Failure(.malformed, "trailing bytes: expected \(byteCount) bytes of numbers, found \(found)")
    }
    let numbers = UnsafeRawBufferPointer(rebasing: bytes[start...])
    switch header.element {
    case .float16:
      throw Failure(.malformed, "element type: expected \(NumPyHeaderParser.types), found float16")
    case .float32:
      self = .float32(
        (0..<count).map { index in
          let bits = numbers.loadUnaligned(fromByteOffset: index * 4, as: UInt32.self)
          return Float(bitPattern: header.isLittleEndian ? UInt32(littleEndian: bits) : UInt32(bigEndian: bits))
        })
    case .float64:
      self = .float64(
        (0..<count).map { index in
          let bits = numbers.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self)
          return Double(bitPattern: header.isLittleEndian ? UInt64(littleEndian: bits) : UInt64(bigEndian: bits))
        })
    }
  }

  public var count: Int {
    switch self {
    case .float32(let values): values.count
    case .float64(let values): values.count
    }
  }
}
