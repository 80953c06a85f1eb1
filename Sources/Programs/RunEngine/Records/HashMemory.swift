import FilterSupport
import Glibc
import SystemIO

/// The hashes of input files that were read before, by what the files are, so that only what has changed is read again.
///
/// A line is `HASH IDENTITY`. Lines are only ever added, each in one write, so that runs can share the file; a torn one
/// is passed over.
package struct HashMemory {
  /// Nil where nothing is remembered.
  private let path: String?
  private var known: [String: String] = [:]

  /// - Parameter path: the file; nil to remember nothing.
  /// - Throws: `Failure` of kind inputOutput where something has the name that is not this user's own file.
  package init(path: String?) throws {
    self.path = path
    guard let path, let descriptor = try Self.open(path, O_RDONLY) else { return }
    close(descriptor)
    let text = String(decoding: try InputFile(path: path).readAll(limit: 64 << 20), as: UTF8.self)
    for line in text.split(separator: "\n") {
      let words = line.split(separator: " ")
      guard words.count == 2, words[0].utf8.count == 64, words[0].allSatisfy(\.isHexDigit) else { continue }
      known[String(words[1])] = String(words[0])
    }
  }

  /// The files with their sizes and SHA-256, in their order.
  ///
  /// - Parameters:
  ///   - files: names by which results know them, and paths.
  ///   - reading: told how many must be read, where some must.
  package mutating func find(
    _ files: [(name: String, path: String)], reading: (Int) -> Void = { _ in }
  ) throws -> [FoundFile] {
    var unknown: [String] = []
    for (_, path) in files where recall(path) == nil && !unknown.contains(path) { unknown.append(path) }
    if !unknown.isEmpty { reading(unknown.count) }
    let read = try ThreadTeam(size: min(availableCores(), unknown.count)).map(unknown) { try FileHash.sha256($0) }
    var fresh: [String: (hash: String, bytes: Int)] = [:]
    for (path, (hash, identity)) in zip(unknown, read) {
      fresh[path] = (hash, identity.bytes)
      if identity.isSettled { try remember(hash, identity) }
    }
    return try files.map { name, path in
      guard let found = fresh[path] ?? recall(path) else {
        throw Failure(.inputOutput, "\(path): changed while it was read")
      }
      return FoundFile(name: name, path: path, bytes: found.bytes, hash: found.hash)
    }
  }

  private func recall(_ path: String) -> (hash: String, bytes: Int)? {
    guard let identity = FileIdentity(path: path), let hash = known[identity.text] else { return nil }
    return (hash, identity.bytes)
  }

  private mutating func remember(_ hash: String, _ identity: FileIdentity) throws {
    known[identity.text] = hash
    guard let path, let descriptor = try Self.open(path, O_RDWR | O_APPEND | O_CREAT) else { return }
    defer { close(descriptor) }
    // A run that was killed may have left half a line.
    var last: UInt8 = UInt8(ascii: "\n")
    let end = lseek(descriptor, 0, SEEK_END)
    if end > 0 { pread(descriptor, &last, 1, end - 1) }
    let line = Array("\(last == UInt8(ascii: "\n") ? "" : "\n")\(hash) \(identity.text)\n".utf8)
    // What is not remembered is read again, nothing worse.
    _ = write(descriptor, line, line.count)
  }

  /// - Returns: nil where there is no such file.
  private static func open(_ path: String, _ flags: Int32) throws -> Int32? {
    let descriptor = Glibc.open(path, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0o600)
    var status = stat()
    if descriptor < 0, errno == ENOENT { return nil }
    if descriptor >= 0, fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_nlink == 1,
      status.st_uid == geteuid()
    {
      return descriptor
    }
    if descriptor >= 0 { close(descriptor) }
    guard descriptor >= 0 || errno == ELOOP || errno == EISDIR || errno == ENXIO else {
      throw Failure(.inputOutput, "\(path): cannot open: \(lastSystemError())")
    }
    throw Failure(
      .inputOutput, "\(path): expected a file of this user's own and no link, found \(kindOfFile(at: path))")
  }
}
