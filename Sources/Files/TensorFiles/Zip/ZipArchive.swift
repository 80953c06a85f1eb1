import CDeflate
import Synchronization
import SystemIO

/// A zip file in the page cache, of stored entries as `torch.save` and `numpy.savez` write them, or deflated ones as
/// `numpy.savez_compressed` does.
///
/// The central directory is the truth: torch leaves sizes and checksums out of the local headers, which serve only
/// to find where the payload begins. Refused: other compressions, encrypted entries, several disks, entries that share a
/// name or bytes, and every offset, size or name that the two records of an entry do not bear out.
public final class ZipArchive: Sendable {
  public struct Entry: Equatable, Sendable {
    public let name: String
    /// Where the payload lies in the file.
    public let byteRange: Range<Int>
    /// CRC-32 of the contents; 0 means that the writer did not compute it.
    public let checksum: UInt32
    public let compression: Compression
    /// Of the contents, decompressed, in bytes.
    public let size: Int
  }

  /// By the numbers of APPNOTE.TXT 4.4.5.
  public enum Compression: Int, Sendable {
    case stored = 0
    case deflated = 8
  }

  /// Deflate makes at most 258 bytes of 2 bits.
  static let largestDeflateRatio = 1032

  public let path: String
  /// In the order of the central directory.
  public let entries: [Entry]
  private let map: MappedFile
  private let indices: [String: Int]
  /// The entries whose checksum has been compared.
  private let verified = Mutex<Set<Int>>([])
  /// What has been decompressed, which takes as much memory as it is long.
  private let decompressed = Mutex<[Int: CopiedStorage]>([:])

  /// - Throws: `Failure` of kind malformed that begins with the path.
  public convenience init(path: String) throws {
    try self.init(MappedFile(path: path))
  }

  public init(_ map: MappedFile) throws {
    self.map = map
    path = map.path
    do {
      entries = try CentralDirectory(of: map.bytes).entries()
      indices = try Self.index(entries)
    } catch { throw error.at(map.path) }
  }

  private static func index(_ entries: [Entry]) throws(Failure) -> [String: Int] {
    var indices: [String: Int] = [:]
    for (index, entry) in entries.enumerated() {
      guard indices.updateValue(index, forKey: entry.name) == nil else {
        throw Failure(.malformed, "zip: \(entry.name): expected one entry of that name, found two")
      }
    }
    let inOrder = entries.sorted { $0.byteRange.lowerBound < $1.byteRange.lowerBound }
    for (entry, next) in zip(inOrder, inOrder.dropFirst())
    where entry.byteRange.upperBound > next.byteRange.lowerBound {
      throw Failure(.malformed, "zip: \(entry.name) and \(next.name) overlap: expected bytes of their own")
    }
    return indices
  }

  public subscript(name: String) -> Entry? {
    indices[name].map { entries[$0] }
  }

  /// The payload of a stored entry without its checksum being compared; valid as long as this object.
  public func uncheckedBytes(of entry: Entry) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: map.bytes[entry.byteRange])
  }

  /// The contents of an entry, valid as long as this object. The first call compares its checksum, which reads it
  /// all, and decompresses it where it is deflated.
  ///
  /// torch reads a file whose checksum is wrong without a word, so this is where damage is noticed.
  public func bytes(of entry: Entry) throws -> UnsafeRawBufferPointer {
    let index = indices[entry.name]!
    let bytes =
      switch entry.compression {
      case .stored: uncheckedBytes(of: entry)
      case .deflated:
        try decompressed.withLock { known in
          let contents = try known[index] ?? inflated(entry)
          known[index] = contents
          return contents.bytes()
        }
      }
    guard entry.checksum != 0, !verified.withLock({ $0.contains(index) }) else { return bytes }
    var found: UInt32 = 0
    MappedFile.readThrough(bytes) { found = libdeflate_crc32(found, $0.baseAddress, $0.count) }
    guard found == entry.checksum else {
      throw Failure(
        .malformed,
        "\(path): \(entry.name): damaged: expected CRC-32 \(hexadecimal(entry.checksum)), found \(hexadecimal(found))")
    }
    verified.withLock { _ = $0.insert(index) }
    return bytes
  }
}

extension ZipArchive {
  private func inflated(_ entry: Entry) throws -> CopiedStorage {
    let contents = CopiedStorage(byteCount: entry.size)
    guard let decompressor = libdeflate_alloc_decompressor() else { throw Failure.outOfMemory(1 << 16) }
    defer { libdeflate_free_decompressor(decompressor) }
    let deflated = uncheckedBytes(of: entry)
    // Without a place for the size it succeeds only when the contents fill the memory exactly.
    let result = libdeflate_deflate_decompress(
      decompressor, deflated.baseAddress, deflated.count, contents.address, entry.size, nil)
    guard result == LIBDEFLATE_SUCCESS else {
      throw Failure(.malformed, "\(path): \(entry.name): damaged: expected \(entry.size) deflated bytes, found others")
    }
    return contents
  }
}

private func hexadecimal(_ value: UInt32) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 8 - digits.utf8.count) + digits
}
