import JSON
import SystemIO

/// One tensor of a safetensors buffer.
public struct TensorInfo: Equatable, Sendable {
  public let name: String
  public let type: ElementType
  public let shape: [Int]
  /// Where its bytes lie in the data, which begins after the header.
  public let byteRange: Range<Int>

  public init(name: String, type: ElementType, shape: [Int], byteRange: Range<Int>) {
    self.name = name
    self.type = type
    self.shape = shape
    self.byteRange = byteRange
  }

  public var elementCount: Int { byteRange.count / type.size }
}

/// The header of a safetensors buffer: u64 little-endian length, JSON, then the data.
///
/// The rules are those of the Rust crate's `SafeTensors::read_metadata` and `Metadata::validate`: the header fits,
/// every tensor's bytes are its shape times its type, the tensors lie end to end and fill the data exactly.
public struct SafetensorsHeader: Equatable, Sendable {
  public static let maximumLength = 100_000_000

  public let metadata: [String: String]
  /// In the order of their bytes.
  public let tensors: [TensorInfo]
  /// Where the data begins, counted from the start of the buffer.
  public let dataOffset: Int

  public var dataLength: Int { tensors.last?.byteRange.upperBound ?? 0 }

  public subscript(name: String) -> TensorInfo? {
    tensors.first { $0.name == name }
  }

  /// Lays out tensors of the given types and shapes one after another. Sizes must not overflow, names must differ.
  public init(metadata: [String: String], layingOut tensors: [(name: String, type: ElementType, shape: [Int])]) {
    var offset = 0
    self.metadata = metadata
    self.tensors = tensors.map { tensor in
      let size = tensor.shape.reduce(tensor.type.size, *)
      defer { offset += size }
      return TensorInfo(name: tensor.name, type: tensor.type, shape: tensor.shape, byteRange: offset..<offset + size)
    }
    precondition(Set(tensors.map(\.name)).count == tensors.count, "tensor names must differ")
    dataOffset = 0
  }

  /// Reads and checks the header of a whole buffer.
  ///
  /// - Parameter limit: the longest header to accept, in bytes.
  public init(parsing buffer: UnsafeRawBufferPointer, limit: Int = Self.maximumLength) throws(SafetensorsError) {
    guard buffer.count >= 8 else { throw .headerTooSmall(bytes: buffer.count) }
    let length = UInt64(littleEndian: buffer.loadUnaligned(as: UInt64.self))
    guard length <= limit else { throw .headerTooLarge(length: length, limit: limit) }
    guard Int(length) <= buffer.count - 8 else {
      throw .invalidHeaderLength(length: length, available: buffer.count - 8)
    }
    let text = UnsafeRawBufferPointer(rebasing: buffer[8..<8 + Int(length)])
    guard text.first == UInt8(ascii: "{") else { throw .invalidHeaderStart }
    let json: JSON
    do { json = try JSON(parsing: text) } catch { throw .invalidHeader(reason: error.description) }

    var metadata: [String: String] = [:]
    var tensors: [TensorInfo] = []
    for member in json.members ?? [] {
      let name = String(decoding: member.key, as: UTF8.self)
      if name == "__metadata__" {
        metadata = try Self.metadata(member.value)
      } else {
        tensors.append(try Self.tensor(name, member.value))
      }
    }
    // Two spellings of é are two keys of JSON and one of Swift.
    guard Set(tensors.map(\.name)).count == tensors.count else {
      throw .invalidHeader(reason: "expected tensors of different names")
    }
    tensors.sort {
      ($0.byteRange.lowerBound, $0.byteRange.upperBound) < ($1.byteRange.lowerBound, $1.byteRange.upperBound)
    }
    var end = 0
    for tensor in tensors {
      guard tensor.byteRange.lowerBound == end else {
        throw .invalidOffset(tensor: tensor.name, expected: end, found: tensor.byteRange.lowerBound)
      }
      end = tensor.byteRange.upperBound
    }
    dataOffset = 8 + Int(length)
    guard buffer.count - dataOffset == end else {
      throw .incompleteBuffer(expected: end, found: buffer.count - dataOffset)
    }
    self.metadata = metadata
    self.tensors = tensors
  }

  private static func metadata(_ json: JSON) throws(SafetensorsError) -> [String: String] {
    guard let members = json.members else { throw .invalidMetadata }
    var metadata: [String: String] = [:]
    for member in members {
      guard let value = member.value.text,
        metadata.updateValue(value, forKey: String(decoding: member.key, as: UTF8.self)) == nil
      else { throw .invalidMetadata }
    }
    return metadata
  }

  private static func tensor(_ name: String, _ json: JSON) throws(SafetensorsError) -> TensorInfo {
    guard let typeName = json["dtype"]?.text, let dimensions = json["shape"]?.elements,
      let offsets = json["data_offsets"]?.elements, offsets.count == 2, json.members?.count == 3,
      let start = offsets[0].int, let end = offsets[1].int, start >= 0, end >= start
    else { throw .invalidTensorInfo(tensor: name) }
    guard let type = ElementType(rawValue: typeName) else {
      throw .unknownElementType(tensor: name, found: typeName)
    }
    var shape: [Int] = []
    var size = type.size
    for dimension in dimensions {
      if let number = dimension.number, number >= 0x1p63 { throw .validationOverflow(tensor: name) }
      guard let dimension = dimension.int, dimension >= 0 else { throw .invalidTensorInfo(tensor: name) }
      let (product, overflow) = size.multipliedReportingOverflow(by: dimension)
      guard !overflow else { throw .validationOverflow(tensor: name) }
      shape.append(dimension)
      size = product
    }
    guard size == end - start else { throw .sizeMismatch(tensor: name, expected: size, found: end - start) }
    return TensorInfo(name: name, type: type, shape: shape, byteRange: start..<end)
  }

  /// The length and the JSON, padded with spaces so that the data begins on a cache line. The same header always
  /// makes the same bytes: metadata in the order of its keys, tensors in the order of their bytes.
  public func encoded() -> [UInt8] {
    var members: [String] = []
    if !metadata.isEmpty {
      let pairs = metadata.sorted { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }
        .map { "\(JSON.quote($0.key)):\(JSON.quote($0.value))" }
      members.append("\"__metadata__\":{\(pairs.joined(separator: ","))}")
    }
    for tensor in tensors {
      let shape = tensor.shape.map(String.init).joined(separator: ",")
      members.append(
        "\(JSON.quote(tensor.name)):{\"dtype\":\"\(tensor.type.rawValue)\",\"shape\":[\(shape)],"
          + "\"data_offsets\":[\(tensor.byteRange.lowerBound),\(tensor.byteRange.upperBound)]}")
    }
    var text = Array("{\(members.joined(separator: ","))}".utf8)
    let unaligned = (8 + text.count) % AlignedBuffer.alignment
    if unaligned > 0 {
      text.append(contentsOf: repeatElement(UInt8(ascii: " "), count: AlignedBuffer.alignment - unaligned))
    }
    return withUnsafeBytes(of: UInt64(text.count).littleEndian, Array.init) + text
  }
}
