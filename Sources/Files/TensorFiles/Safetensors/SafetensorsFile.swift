import SystemIO

/// A safetensors file in the page cache; a tensor's bytes are read when they are touched.
public final class SafetensorsFile: Sendable {
  public let path: String
  public let header: SafetensorsHeader
  let map: MappedFile

  public init(path: String) throws {
    self.path = path
    map = try MappedFile(path: path)
    do { header = try SafetensorsHeader(parsing: map.bytes) } catch {
      if let other = knownForeignContent(map.bytes) {
        throw Failure(.malformed, "\(path): expected a safetensors file, found \(other)")
      }
      throw Failure(.malformed, "\(path): \(error)\(Self.isCut(error) ? ": the file is cut off" : "")")
    }
  }

  private static func isCut(_ error: SafetensorsError) -> Bool {
    if case .incompleteBuffer(let expected, let found) = error { found < expected } else { false }
  }

  /// The bytes of one of the header's tensors, valid as long as this object.
  public func bytes(of tensor: TensorInfo) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: map.bytes[byteRange(of: tensor)])
  }

  /// Where it lies in the file.
  func byteRange(of tensor: TensorInfo) -> Range<Int> {
    let start = header.dataOffset + tensor.byteRange.lowerBound
    return start..<start + tensor.byteRange.count
  }
}
