import SystemIO

/// The records at the end of a zip file, by the names of PKWARE's APPNOTE.TXT 6.3.10, section 4.3.
struct CentralDirectory {
  private let reader: ByteReader
  /// Where the directory lies; it ends where the end records begin.
  private let range: Range<Int>
  private let count: Int

  private static let localSignature = 0x0403_4b50
  private static let directorySignature = 0x0201_4b50
  private static let endSignature = 0x0605_4b50
  private static let zip64EndSignature = 0x0606_4b50
  private static let zip64LocatorSignature = 0x0706_4b50

  private static let localHeaderSize = 30
  private static let directoryHeaderSize = 46
  private static let endSize = 22
  private static let zip64EndSize = 56
  private static let zip64LocatorSize = 20
  private static let longestComment = 0xffff

  /// A 16- or 32-bit field that means "look in the zip64 record".
  private static let elsewhere16 = 0xffff
  private static let elsewhere32 = 0xffff_ffff

  init(of bytes: UnsafeRawBufferPointer) throws(Failure) {
    reader = ByteReader(bytes: bytes)
    let end = try Self.findEnd(reader)
    var directoryEnd = end
    var (count, size, offset) = (try reader.u16(end + 10), try reader.u32(end + 12), try reader.u32(end + 16))
    guard try reader.u16(end + 4) == 0, try reader.u16(end + 6) == 0, try reader.u16(end + 8) == count else {
      throw Failure(.malformed, "zip: expected one file, found part of an archive over several disks")
    }
    if let zip64 = try Self.findZip64End(reader, before: end) {
      let large = (try reader.u64(zip64 + 32), try reader.u64(zip64 + 40), try reader.u64(zip64 + 48))
      guard try reader.u32(zip64 + 16) == 0, try reader.u32(zip64 + 20) == 0, try reader.u64(zip64 + 24) == large.0,
        count == Self.elsewhere16 || count == large.0, size == Self.elsewhere32 || size == large.1,
        offset == Self.elsewhere32 || offset == large.2
      else { throw Failure(.malformed, "zip: expected the two end records to agree, found them different") }
      (count, size, offset) = large
      directoryEnd = zip64
    }
    guard offset <= directoryEnd, size == directoryEnd - offset, count <= size / Self.directoryHeaderSize else {
      throw Failure(
        .malformed,
        "zip: expected a directory of \(count) entries and \(size) bytes at \(offset), found its end at \(directoryEnd)"
      )
    }
    self.count = count
    range = offset..<directoryEnd
  }

  /// Where the end record begins: the last one whose comment runs to the end of the file.
  private static func findEnd(_ reader: ByteReader) throws(Failure) -> Int {
    let fileSize = reader.bytes.count
    var offset = fileSize - Self.endSize
    while offset >= max(0, fileSize - Self.endSize - Self.longestComment) {
      if try reader.u32(offset) == Self.endSignature, try reader.u16(offset + 20) == fileSize - offset - Self.endSize {
        return offset
      }
      offset -= 1
    }
    let isZip = fileSize >= 4 && reader.bytes.loadUnaligned(as: UInt32.self).littleEndian == Self.localSignature
    throw Failure(
      .malformed,
      isZip
        ? "zip: no end record in \(fileSize) bytes: the file is truncated, perhaps a download that was cut off"
        : "not a zip file: expected an end record, found none in \(fileSize) bytes")
  }

  private static func findZip64End(_ reader: ByteReader, before end: Int) throws(Failure) -> Int? {
    let locator = end - Self.zip64LocatorSize
    guard locator >= 0, try reader.u32(locator) == Self.zip64LocatorSignature else { return nil }
    let offset = try reader.u64(locator + 8)
    guard offset == locator - Self.zip64EndSize, try reader.u32(offset) == Self.zip64EndSignature else {
      throw Failure(.malformed, "zip: expected a zip64 end record before byte \(locator), found none")
    }
    return offset
  }

  func entries() throws(Failure) -> [ZipArchive.Entry] {
    var entries: [ZipArchive.Entry] = []
    entries.reserveCapacity(count)
    var offset = range.lowerBound
    for _ in 0..<count { entries.append(try entry(at: &offset)) }
    guard offset == range.upperBound else {
      throw Failure(
        .malformed, "zip: expected \(count) entries in the directory, found \(range.upperBound - offset) bytes more")
    }
    return entries
  }

  private func entry(at offset: inout Int) throws(Failure) -> ZipArchive.Entry {
    guard try reader.u32(offset) == Self.directorySignature else {
      throw Failure(.malformed, "zip: byte \(offset): expected an entry of the directory, found something else")
    }
    let nameLength = try reader.u16(offset + 28)
    let extraLength = try reader.u16(offset + 30)
    let nameBytes = try reader.slice(offset + Self.directoryHeaderSize, nameLength)
    guard let name = String(validating: nameBytes, as: UTF8.self) else {
      throw Failure(.malformed, "zip: byte \(offset): expected a name in UTF-8")
    }
    let flags = try reader.u16(offset + 8)
    let method = try reader.u16(offset + 10)
    // Bits 0, 6 and 13: encrypted payload, strong encryption, masked headers.
    guard flags & 0x2041 == 0 else {
      throw Failure(.malformed, "zip: \(name): expected no encryption, found an encrypted entry")
    }
    guard let compression = ZipArchive.Compression(rawValue: method) else {
      throw Failure(
        .malformed, "zip: \(name): expected a stored or deflated entry (method 0 or 8), found method \(method)")
    }

    var compressedSize = try reader.u32(offset + 20)
    var size = try reader.u32(offset + 24)
    var header = try reader.u32(offset + 42)
    let checksum = UInt32(try reader.u32(offset + 16))
    // The zip64 field holds only what did not fit, in this order.
    if size == Self.elsewhere32 || compressedSize == Self.elsewhere32 || header == Self.elsewhere32 {
      let extra = try zip64Field(offset + Self.directoryHeaderSize + nameLength, extraLength, entry: name)
      var position = 0
      func next() throws(Failure) -> Int {
        guard position + 8 <= extra.bytes.count else {
          throw Failure(.malformed, "zip: \(name): zip64 field: expected \(position + 8) bytes, found \(position)")
        }
        defer { position += 8 }
        return try extra.u64(position)
      }
      if size == Self.elsewhere32 { size = try next() }
      if compressedSize == Self.elsewhere32 { compressedSize = try next() }
      if header == Self.elsewhere32 { header = try next() }
    }
    switch compression {
    case .stored:
      guard size == compressedSize else {
        throw Failure(.malformed, "zip: \(name): expected one size when stored, found \(compressedSize) and \(size)")
      }
    case .deflated:
      // A size beyond what deflate can reach is a claim to memory that nothing would fill.
      guard size / ZipArchive.largestDeflateRatio <= compressedSize else {
        throw Failure(
          .malformed,
          "zip: \(name): expected at most \(ZipArchive.largestDeflateRatio) times its \(compressedSize) deflated bytes, "
            + "found a size of \(size)")
      }
    }
    offset += Self.directoryHeaderSize + nameLength + extraLength + (try reader.u16(offset + 32))
    guard offset <= range.upperBound else {
      throw Failure(.malformed, "zip: \(name): expected its entry to end before byte \(range.upperBound)")
    }
    let payload = try payload(of: name, nameBytes, header: header, size: compressedSize)
    return ZipArchive.Entry(
      name: name, byteRange: payload, checksum: checksum, compression: compression, size: size)
  }

  private func zip64Field(_ start: Int, _ length: Int, entry: String) throws(Failure) -> ByteReader {
    let extra = ByteReader(bytes: try reader.slice(start, length))
    var position = 0
    while position + 4 <= length {
      let field = try extra.slice(position + 4, try extra.u16(position + 2))
      if try extra.u16(position) == 1 { return ByteReader(bytes: field) }
      position += 4 + field.count
    }
    throw Failure(.malformed, "zip: \(entry): expected a zip64 field for a size of 2^32 - 1, found none")
  }

  private func payload(
    of name: String, _ nameBytes: UnsafeRawBufferPointer, header: Int, size: Int
  ) throws(Failure) -> Range<Int> {
    guard header <= range.lowerBound, try reader.u32(header) == Self.localSignature else {
      throw Failure(.malformed, "zip: \(name): expected its header at byte \(header), found something else")
    }
    let localName = try reader.slice(header + Self.localHeaderSize, try reader.u16(header + 26))
    guard localName.elementsEqual(nameBytes) else {
      throw Failure(
        .malformed,
        "zip: \(name): expected that name in its header, found \(String(decoding: localName, as: UTF8.self))")
    }
    let start = header + Self.localHeaderSize + localName.count + (try reader.u16(header + 28))
    guard start <= range.lowerBound, size <= range.lowerBound - start else {
      throw Failure(
        .malformed,
        "zip: \(name): expected \(size) bytes before the directory at \(range.lowerBound), found its data at \(start)")
    }
    return start..<start + size
  }
}
