/// Zip files made byte by byte, right or wrong in one chosen place.
public struct ZipBuilder {
  public struct Entry {
    public var name: String
    public var contents: [UInt8]
    /// The name in the local header, where it is to differ.
    public var localName: String?
    public var method: UInt16 = 0
    public var flags: UInt16 = 0x0808
    /// In the central directory; 0 as torch writes it when told not to compute checksums.
    public var checksum: UInt32 = 0
    /// What the central directory says, where it is to differ.
    public var size: UInt32?
    public var compressedSize: UInt32?
    public var offset: UInt32?
    public var centralExtra: [UInt8] = []
    public var localExtra: [UInt8] = []

    public init(_ name: String, _ contents: [UInt8]) {
      self.name = name
      self.contents = contents
    }
  }

  public var entries: [Entry]
  /// Whether the zip64 end record and locator are written, as torch always does.
  public var hasZip64End = true
  /// What the end records say, where it is to differ.
  public var count: UInt64?
  public var directoryOffset: UInt32?
  public var comment: [UInt8] = []

  public init(_ entries: [Entry]) { self.entries = entries }

  public func build() -> [UInt8] {
    var bytes: [UInt8] = []
    var directory: [UInt8] = []
    for entry in entries {
      let name = Array(entry.name.utf8)
      let localName = Array((entry.localName ?? entry.name).utf8)
      let size = entry.size ?? UInt32(entry.contents.count)
      let offset = entry.offset ?? UInt32(bytes.count)
      // Sizes and checksum are left out of the local header, as torch does.
      bytes += little(UInt32(0x0403_4b50)) + little(UInt16(0)) + little(entry.flags) + little(entry.method)
      bytes += [UInt8](repeating: 0, count: 16) + little(UInt16(localName.count))
      bytes += little(UInt16(entry.localExtra.count)) + localName + entry.localExtra + entry.contents
      directory += little(UInt32(0x0201_4b50)) + little(UInt32(0)) + little(entry.flags) + little(entry.method)
      directory += little(UInt32(0)) + little(entry.checksum) + little(entry.compressedSize ?? size) + little(size)
      directory += little(UInt16(name.count)) + little(UInt16(entry.centralExtra.count))
      directory += [UInt8](repeating: 0, count: 10) + little(offset) + name + entry.centralExtra
    }
    let start = bytes.count
    let count = self.count ?? UInt64(entries.count)
    bytes += directory
    if hasZip64End {
      let end = UInt64(bytes.count)
      bytes += little(UInt32(0x0606_4b50)) + little(UInt64(44)) + little(UInt32(0)) + [UInt8](repeating: 0, count: 8)
      bytes += little(count) + little(count) + little(UInt64(directory.count)) + little(UInt64(start))
      bytes += little(UInt32(0x0706_4b50)) + little(UInt32(0)) + little(end) + little(UInt32(1))
    }
    bytes += little(UInt32(0x0605_4b50)) + little(UInt32(0)) + little(UInt16(truncatingIfNeeded: count))
    bytes += little(UInt16(truncatingIfNeeded: count)) + little(UInt32(directory.count))
    return bytes + little(directoryOffset ?? UInt32(start)) + little(UInt16(comment.count)) + comment
  }
}

public func little<Integer: FixedWidthInteger>(_ value: Integer) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian, Array.init)
}
