import SystemIO

/// A safetensors file in the page cache; a tensor's bytes are read when they are touched.
public final class SafetensorsFile: Sendable {
  public let path: String
  public let header: SafetensorsHeader
  private let map: MappedFile

  public init(path: String) throws {
    self.path = path
    map = try MappedFile(path: path)
    do { header = try SafetensorsHeader(parsing: map.bytes) } catch {
      throw Failure(.malformed, "\(path): \(error)")
    }
  }

  /// The header as it stands in the file: names, types, shapes and offsets of all tensors.
  public var headerBytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: map.bytes[..<header.dataOffset]) }

  /// The bytes of one of the header's tensors, valid as long as this object.
  public func bytes(of tensor: TensorInfo) -> UnsafeRawBufferPointer {
    let start = header.dataOffset + tensor.byteRange.lowerBound
    return UnsafeRawBufferPointer(rebasing: map.bytes[start..<start + tensor.byteRange.count])
  }
}
