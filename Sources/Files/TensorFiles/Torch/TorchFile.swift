import SystemIO

/// A file that `torch.save` wrote: since torch 1.6 a zip file with a pickle beside the raw storages it mentions, before
/// that pickles with the storages after them.
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
    if var legacy = LegacyTorchFile(map) {
      do { value = try legacy.read(maximumPickleSize: Self.maximumPickleSize) } catch {
        throw error.at("\(path): the format of before torch 1.6")
      }
      return
    }
    if let other = Self.knownOtherFormat(map.bytes) {
      throw Failure(.malformed, "\(path): expected a file from torch.save, found \(other)")
    }
    value = try Self.read(ZipArchive(map))
  }

  /// What a file is, when it is one of those that are often found under this name.
  private static func knownOtherFormat(_ bytes: UnsafeRawBufferPointer) -> String? {
    if let other = knownForeignContent(bytes) { return other }
    if bytes.first == PickleOpcode.proto.rawValue { return "a bare pickle" }
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
    if let deflated = archive.entries.first(where: { $0.compression == .deflated }) {
      throw Failure(
        .malformed,
        "\(path): \(deflated.name): expected a stored entry, as torch.save writes them, found a deflated one")
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
      return try PickleReader.read(archive.bytes(of: pickle)) { key, type, byteCount throws(Failure) in
        try storages.find(key, type, byteCount)
      }
    } catch let failure as Failure {
      throw failure.description.hasPrefix(path) ? failure : failure.at("\(path): \(pickle.name)")
    }
  }

  /// The records data/0, data/1, … each of one type and one size, however many tensors share it.
  private struct Storages {
    let archive: ZipArchive
    let prefix: String
    private var known: [String: (type: StorageType?, storage: ZipStorage)] = [:]

    init(archive: ZipArchive, prefix: String) {
      self.archive = archive
      self.prefix = prefix
    }

    mutating func find(_ key: String, _ type: StorageType?, _ byteCount: Int) throws(Failure) -> ZipStorage {
      guard !key.isEmpty, key.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
        throw Failure(.malformed, "storage \"\(key)\": expected digits as its key")
      }
      guard let entry = archive["\(prefix)\(key)"] else {
        throw Failure(.malformed, "storage \(key): expected an entry \(prefix)\(key), found none")
      }
      guard byteCount == entry.byteRange.count else {
        let expected = type.map { "\(byteCount / $0.size) elements of \($0.description)" } ?? "\(byteCount) bytes"
        throw Failure(.malformed, "storage \(key): expected \(expected), found \(entry.byteRange.count) bytes")
      }
      if let (knownType, storage) = known[key] {
        guard type == knownType else {
          let (known, found) = (knownType?.description ?? "bytes", type?.description ?? "bytes")
          throw Failure(.malformed, "storage \(key): expected \(known), found \(found) as well")
        }
        return storage
      }
      let storage = ZipStorage(archive, entry)
      known[key] = (type, storage)
      return storage
    }
  }
}
