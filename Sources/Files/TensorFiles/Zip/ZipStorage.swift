/// The payload of one entry as the storage of tensors; its checksum is compared when it is first read.
public final class ZipStorage: TensorStorage {
  private let archive: ZipArchive
  private let entry: ZipArchive.Entry

  public init(_ archive: ZipArchive, _ entry: ZipArchive.Entry) {
    self.archive = archive
    self.entry = entry
  }

  public func bytes() throws -> UnsafeRawBufferPointer { try archive.bytes(of: entry) }

  public func uncheckedBytes() -> UnsafeRawBufferPointer { archive.uncheckedBytes(of: entry) }
}
