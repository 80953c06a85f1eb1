import CDeflate
import SystemIO

/// The contents of a deflated entry in memory of their own.
struct Decompressed: @unchecked Sendable {
  private let buffer: AlignedBuffer
  private let size: Int

  /// - Parameter size: of the contents; more or fewer are a fault of the file.
  init(_ deflated: UnsafeRawBufferPointer, size: Int, at path: String, _ entry: ZipArchive.Entry) throws {
    buffer = AlignedBuffer(capacity: size)
    self.size = size
    guard let decompressor = libdeflate_alloc_decompressor() else { throw Failure.outOfMemory(1 << 16) }
    defer { libdeflate_free_decompressor(decompressor) }
    // Without a place for the size it succeeds only when the contents fill the buffer exactly.
    let result = libdeflate_deflate_decompress(
      decompressor, deflated.baseAddress, deflated.count, buffer.address, size, nil)
    guard result == LIBDEFLATE_SUCCESS else {
      throw Failure(.malformed, "\(path): \(entry.name): damaged: expected \(size) deflated bytes, found others")
    }
  }

  /// Valid as long as this value or a copy of it.
  var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: buffer.address, count: size) }
}
