import SystemIO

/// The format of before torch 1.6, as torch/serialization.py `_legacy_load` reads it: pickles of a magic number, of
/// the protocol's version, of facts about the system, of what was saved, and of the storages' keys; then each
/// storage's number of elements and its elements.
struct LegacyTorchFile {
  private let map: MappedFile
  private let bytes: UnsafeRawBufferPointer
  private var position = 0

  /// LONG1 and STOP around 0x1950a86a20f9469cfc6c, the MAGIC_NUMBER of torch/serialization.py.
  private static let magic: [UInt8] = [
    0x8a, 0x0a, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, 0x2e,
  ]
  private static let version = 1001

  /// nil where the file does not begin with the magic number.
  init?(_ map: MappedFile) {
    // After PROTO, and from protocol 4 on FRAME.
    guard
      let start = [2, 11].first(where: { start in
        map.bytes.first == PickleOpcode.proto.rawValue && map.bytes.dropFirst(start).starts(with: Self.magic)
      })
    else { return nil }
    self.map = map
    bytes = map.bytes
    position = start + Self.magic.count
  }

  /// - Throws: `Failure` of kind malformed.
  mutating func read(maximumPickleSize: Int) throws(Failure) -> PickleValue {
    func refuse(_ expected: String, found: String) -> Failure {
      Failure(.malformed, "expected \(expected), found \(found)")
    }
    func noStorage(_: String, _: StorageType?, _: Int) throws(Failure) -> any TensorStorage {
      throw refuse("no storage yet", found: "one")
    }
    let version = try pickle(maximumPickleSize, noStorage)
    guard version.integer == Self.version else {
      throw refuse("version \(Self.version)", found: version.integer.map(String.init) ?? version.kind)
    }
    if case .bool(false)? = try pickle(maximumPickleSize, noStorage)["little_endian"] {
      throw refuse("little-endian numbers", found: "big-endian ones")
    }
    // What was saved stands before the storages' places: it is read once to learn their sizes, then to use them.
    let saved = position
    let sizes = Sizes()
    _ = try pickle(maximumPickleSize, sizes.note)
    guard case .list(let keys) = try pickle(maximumPickleSize, noStorage) else {
      throw refuse("a list of storages", found: "none")
    }
    var storages: [String: MappedStorage] = [:]
    for key in keys {
      guard let key = key.text, let (type, size) = sizes.known[key], storages[key] == nil else {
        throw refuse("the keys of the storages that tensors have, once each", found: key.text ?? key.kind)
      }
      guard position + 8 <= bytes.count else {
        throw refuse("storage \(key)", found: "the end of the file: it is cut off")
      }
      let count = Int64(littleEndian: bytes.loadUnaligned(fromByteOffset: position, as: Int64.self))
      position += 8
      guard count == size / (type?.size ?? 1) else {
        throw refuse("\(size / (type?.size ?? 1)) elements of storage \(key)", found: "\(count)")
      }
      guard size <= bytes.count - position else {
        throw refuse(
          "\(size) bytes of storage \(key)", found: "\(bytes.count - position): the file is cut off")
      }
      storages[key] = MappedStorage(map, position..<position + size)
      position += size
    }
    if let missing = sizes.known.keys.sorted().first(where: { storages[$0] == nil }) {
      throw refuse("storage \(missing)", found: "none")
    }
    guard position == bytes.count else {
      throw refuse("the end after the storages", found: "\(bytes.count - position) bytes")
    }
    position = saved
    return try pickle(maximumPickleSize) { key, _, _ throws(Failure) in storages[key]! }
  }

  private mutating func pickle(
    _ maximumSize: Int, _ storageLookup: @escaping PickleReader.StorageLookup
  ) throws(Failure) -> PickleValue {
    let rest = UnsafeRawBufferPointer(rebasing: bytes[position..<min(position + maximumSize, bytes.count)])
    do {
      let (value, end) = try PickleReader.readFirst(of: rest, storageLookup: storageLookup)
      position += end
      return value
    } catch { throw error.at("the pickle at byte \(position)") }
  }

  /// The storages that a pickle names, each of one type and size.
  private final class Sizes {
    private(set) var known: [String: (type: StorageType?, byteCount: Int)] = [:]

    func note(_ key: String, _ type: StorageType?, _ byteCount: Int) throws(Failure) -> any TensorStorage {
      if let (knownType, size) = known[key], knownType != type || size != byteCount {
        throw Failure(.malformed, "storage \(key): expected one type and size, found two")
      }
      known[key] = (type, byteCount)
      // Nothing is read before the places are known.
      return CopiedStorage(byteCount: 0)
    }
  }
}
