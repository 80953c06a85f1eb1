import FilterSupport
import Glibc
import SystemIO

/// A folder of streams that runs share. What has a record is complete, nothing else is believed.
package final class WorkFolder {
  package let path: String

  /// - Throws: `Failure` of kind inputOutput where it cannot be made or written into.
  package init(_ path: String) throws {
    self.path = path
    try makeFolder(path)
    try checkOutputFolder(path)
  }

  package func file(_ name: String) -> String { "\(path)/\(name)" }

  // MARK: Records

  /// Whether the stream is complete. Its content is read again only where the file is not the one that was recorded.
  package func state(of name: String) -> StreamState {
    guard let record = StreamRecord(path: file(StreamName.record(name))) else { return .absent }
    guard let identity = FileIdentity(path: file(name)) else { return .lost("its file is gone") }
    if identity.text == record.identity { return .complete }
    guard identity.bytes == record.bytes, let now = try? FileHash.xxh64(file(name)), now.hash == record.hash else {
      return .lost("its file has changed since it was made")
    }
    return .complete
  }

  /// The key with which each step was last made, by the step's label.
  package var lastKeys: [String: Key] {
    var newest: [String: (time: Int, key: Key)] = [:]
    for name in namesInFolder(path) where name.hasSuffix(".ts.record") {
      let stream = String(name.dropLast(".record".count))
      guard StreamName.isStream(stream), let record = StreamRecord(path: file(name)) else { continue }
      let label = StreamName.label(stream)
      if newest[label].map({ $0.time < record.time }) ?? true { newest[label] = (record.time, record.key) }
    }
    return newest.mapValues(\.key)
  }

  /// Puts the stream on the disk, then its record.
  func record(_ name: String, _ key: Key) throws {
    let path = file(name)
    let descriptor = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC)
    guard descriptor >= 0, fsync(descriptor) == 0 else {
      let why = lastSystemError()
      if descriptor >= 0 { close(descriptor) }
      throw Failure(.inputOutput, "\(path): cannot write: \(why)")
    }
    close(descriptor)
    syncFolder(self.path)
    let (hash, identity) = try FileHash.xxh64(path)
    try StreamRecord(bytes: identity.bytes, hash: hash, identity: identity.text, key: key)
      .write(to: file(StreamName.record(name)))
  }

  // MARK: Locks

  /// The right to make a stream, which this process alone has until it lets go.
  package final class Claim {
    package let name: String
    /// What the stream may be written to.
    package let descriptor: Int32
    fileprivate let folder: WorkFolder

    fileprivate init(_ name: String, _ descriptor: Int32, in folder: WorkFolder) {
      (self.name, self.descriptor, self.folder) = (name, descriptor, folder)
    }

    /// What has been written becomes the stream.
    package func publish(_ key: Key) throws {
      let partial = folder.file(StreamName.partial(name))
      guard fsync(descriptor) == 0, isSameFile(partial, descriptor), rename(partial, folder.file(name)) == 0 else {
        throw Failure(.inputOutput, "\(folder.file(name)): cannot write: \(lastSystemError())")
      }
      try folder.record(name, key)
    }

    deinit {
      let partial = folder.file(StreamName.partial(name))
      if isSameFile(partial, descriptor) { unlink(partial) }
      close(descriptor)
    }
  }

  /// - Returns: nil where another run is making the stream.
  /// - Throws: `Failure` of kind inputOutput.
  package func claim(_ name: String) throws -> Claim? {
    let partial = file(StreamName.partial(name))
    while true {
      let descriptor = retryingOnInterrupt {
        open(partial, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK, 0o666)
      }
      guard descriptor >= 0 else {
        throw Failure(
          .inputOutput,
          "\(partial): cannot create: "
            + (errno == ELOOP ? "expected nothing of that name, found a link" : lastSystemError()))
      }
      var status = stat()
      guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG, status.st_nlink <= 1 else {
        close(descriptor)
        throw Failure(.inputOutput, "\(partial): cannot create: expected nothing of that name, found another file")
      }
      guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
        let isHeld = errno == EWOULDBLOCK
        let why = lastSystemError()
        close(descriptor)
        if isHeld { return nil }
        throw Failure(.inputOutput, "\(partial): cannot lock: \(why)")
      }
      // The one before may have renamed or removed what was locked here.
      if isSameFile(partial, descriptor) {
        ftruncate(descriptor, 0)
        return Claim(name, descriptor, in: self)
      }
      close(descriptor)
    }
  }

  /// Removes what runs that were killed have left: unfinished files of streams that nobody is making.
  package func sweep() {
    for name in namesInFolder(path) {
      guard let stream = StreamName.ofUnfinished(name), let claim = try? claim(stream) else { continue }
      var status = stat()
      withExtendedLifetime(claim) {
        if lstat(file(name), &status) == 0, status.st_mode & S_IFMT == S_IFREG { unlink(file(name)) }
      }
    }
  }
}

/// Names in the folder are then on the disk, where the file system can be asked.
func syncFolder(_ path: String) {
  let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
  guard descriptor >= 0 else { return }
  fsync(descriptor)
  close(descriptor)
}
