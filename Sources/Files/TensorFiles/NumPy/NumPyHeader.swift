import SystemIO

/// The part of a `.npy` file before the numbers: magic, version, length, and a Python dictionary of three entries,
/// padded with spaces so that the numbers start on a 64-byte boundary.
/// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
public struct NumPyHeader: Equatable, Sendable {
  public enum Element: Sendable {
    case float16, float32, float64

    public var byteCount: Int {
      switch self {
      case .float16: 2
      case .float32: 4
      case .float64: 8
      }
    }
  }

  public let element: Element
  public let isLittleEndian: Bool
  /// Whether the first index is the fastest, as numpy writes a transposed array, instead of the last.
  public let isFortranOrder: Bool
  public let shape: [Int]

  public init(element: Element, isLittleEndian: Bool = true, isFortranOrder: Bool = false, shape: [Int]) {
    self.element = element
    self.isLittleEndian = isLittleEndian
    self.isFortranOrder = isFortranOrder
    self.shape = shape
  }

  static let magic: [UInt8] = [0x93] + Array("NUMPY".utf8)
  /// numpy refuses longer ones too: a header of three entries has no use for them.
  static let maximumLength = 10_000

  /// The bytes that numpy would write, version 1.0.
  public var encoded: [UInt8] {
    let descriptor = "\(isLittleEndian ? "<" : ">")f\(element.byteCount)"
    // A tuple of one keeps its comma.
    let dimensions = shape.count == 1 ? "\(shape[0])," : shape.map(String.init).joined(separator: ", ")
    var text =
      "{'descr': '\(descriptor)', 'fortran_order': \(isFortranOrder ? "True" : "False"), 'shape': (\(dimensions)), }"
    // numpy leaves room for the first dimension to grow to 21 digits in place.
    if let first = shape.first { text += String(repeating: " ", count: max(0, 21 - String(first).utf8.count)) }
    let unpadded = Self.magic.count + 4 + text.utf8.count + 1
    text += String(repeating: " ", count: 64 - unpadded % 64) + "\n"
    let length = text.utf8.count
    precondition(length <= UInt16.max, "an array of \(shape.count) dimensions")
    return Self.magic + [1, 0, UInt8(length & 0xff), UInt8(length >> 8)] + Array(text.utf8)
  }

  /// Reads the header at the start of `bytes`, and says where it ends.
  public static func parse(_ bytes: UnsafeRawBufferPointer) throws -> (header: NumPyHeader, end: Int) {
    guard bytes.count >= magic.count, bytes.prefix(magic.count).elementsEqual(magic) else {
      let found = knownForeignContent(bytes) ?? "another format: it does not begin with \\x93NUMPY"
      throw Failure(.malformed, "expected a .npy file, found \(found)")
    }
    guard bytes.count >= 10 else { throw Failure(.malformed, "truncated in the header") }
    let version = (bytes[6], bytes[7])
    guard (1...3).contains(version.0), version.1 == 0 else {
      throw Failure(.malformed, ".npy version: expected 1.0, 2.0 or 3.0, found \(version.0).\(version.1)")
    }
    let lengthBytes = version.0 == 1 ? 2 : 4
    let start = 8 + lengthBytes
    guard bytes.count >= start else { throw Failure(.malformed, "truncated in the header") }
    let length = (0..<lengthBytes).reduce(0) { $0 | Int(bytes[8 + $1]) << (8 * $1) }
    guard length <= maximumLength else {
      throw Failure(.malformed, "header too long: expected at most \(maximumLength) bytes, found \(length)")
    }
    guard bytes.count - start >= length else { throw Failure(.malformed, "truncated in the header") }
    var parser = NumPyHeaderParser(Array(bytes[start..<start + length]))
    return (try parser.header(), start + length)
  }
}
