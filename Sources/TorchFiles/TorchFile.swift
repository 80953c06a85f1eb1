import Safetensors
import StoredTensors
import SystemIO
import ZipArchive

/// A file that `torch.save` wrote since torch 1.6: a zip file with a pickle beside the raw storages it mentions.
///
/// The rules are those of torch/serialization.py `_load` with `weights_only=True`, and stricter: the pickle is read
/// as data and never run, see `PickleReader`. Tensors are views of the file in the page cache.
public final class TorchFile: Sendable {
  public let path: String
  /// What was saved, as a rule a dictionary of tensors.
  public let value: PickleValue

  /// Far above the pickle of any dict of tensors, which takes some 100 bytes a tensor.
  private static let maximumPickleSize = 8 << 20

  /// - Throws: `Failure` of kind malformed that begins with the path.
  public init(path: String) throws {
    self.path = path
    let map = try MappedFile(path: path)
    if let other = Self.knownOtherFormat(map.bytes) {
      throw Failure(.malformed, "\(path): expected a file from torch.save, found \(other)")
    }
    value = try Self.read(ZipArchive(map))
  }

  /// What a file is, when it is one of those that are often found under this name.
  private static func knownOtherFormat(_ bytes: UnsafeRawBufferPointer) -> String? {
    // Pickled 0x1950a86a20f9469cfc6c, the MAGIC_NUMBER of torch/serialization.py.
    let legacyMagic: [UInt8] = [0x80, 2, 0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]
    if let known = knownForeignContent(bytes) { return known }
    if bytes.starts(with: legacyMagic) {
      return "the format of before torch 1.6, which is not a zip file: load and save it with a newer torch"
    }
    if bytes.first == 0x80 { return "a bare pickle" }
    if (try? SafetensorsHeader(parsing: bytes)) != nil { return "a safetensors file" }
    return nil
  }

  private static func read(_ archive: ZipArchive) throws -> PickleValue {
    let path = archive.path
    let pickles = archive.entries.filter { entry in
      let parts = entry.name.split(separator: "/", omittingEmptySubsequences: false)
      return parts.count == 2 && parts[1] == "data.pkl"
    }
    guard pickles.count == 1, let pickle = pickles.first else {
      throw Failure(.malformed, "\(path): expected one entry */data.pkl, found \(pickles.count): not from torch.save")
    }
    let root = pickle.name.dropLast("data.pkl".count)
    if let order = archive["\(root)byteorder"] {
      let name = String(decoding: try archive.bytes(of: order).prefix(16), as: UTF8.self)
      guard name == "little" else {
        throw Failure(.malformed, "\(path): byteorder: expected little, found \(name)")
      }
    }
    guard pickle.byteRange.count <= maximumPickleSize else {
      throw Failure(
        .malformed,
        "\(path): \(pickle.name): expected at most \(maximumPickleSize) bytes, found \(pickle.byteRange.count)")
    }
    var storages = Storages(archive: archive, prefix: "\(root)data/")
    do {
      return try PickleReader.read(archive.bytes(of: pickle)) { key, type, count throws(Failure) in
        try storages.find(key, type, count)
      }
    } catch let failure as Failure {
      throw failure.description.hasPrefix(path) ? failure : failure.at("\(path): \(pickle.name)")
    }
  }

  /// The records data/0, data/1, … each of one type and one size, however many tensors share it.
  private struct Storages {
    let archive: ZipArchive
    let prefix: String
    private var known: [String: (type: ElementType, storage: ZipStorage)] = [:]

    init(archive: ZipArchive, prefix: String) {
      self.archive = archive
      self.prefix = prefix
    }

    mutating func find(_ key: String, _ type: ElementType, _ count: Int) throws(Failure) -> ZipStorage {
      guard !key.isEmpty, key.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
        throw Failure(.malformed, "storage \"\(key)\": expected digits as its key")
      }
      guard let entry = archive["\(prefix)\(key)"] else {
        throw Failure(.malformed, "storage \(key): expected an entry \(prefix)\(key), found none")
      }
      let (size, overflow) = count.multipliedReportingOverflow(by: type.size)
      guard !overflow, size == entry.byteRange.count else {
        throw Failure(
          .malformed,
          "storage \(key): expected \(count) elements of \(type.rawValue), found \(entry.byteRange.count) bytes")
      }
      if let (knownType, storage) = known[key] {
        guard type == knownType else {
          throw Failure(.malformed, "storage \(key): expected \(knownType.rawValue), found \(type.rawValue) as well")
        }
        return storage
      }
      let storage = ZipStorage(archive, entry)
      known[key] = (type, storage)
      return storage
    }
  }
}
