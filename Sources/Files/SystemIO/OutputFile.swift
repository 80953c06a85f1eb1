import Glibc

/// Where a program's data goes: standard output, or a file that appears under its name only when complete.
///
/// Nothing is complete until `finish()` returns: it reports what `close` reports, and gives the file its name.
/// A file that is not finished is removed. Only files that this process has created are written, renamed or removed,
/// whatever else has a name like theirs, and no link is followed.
public final class OutputFile {
  /// The name in messages: the path, or `standard output`.
  public let name: String
  private var descriptor: Int32
  /// Where the bytes lie until `finish()`; nil for standard output.
  private let temporary: TemporaryName?

  private init(name: String, descriptor: Int32, temporary: TemporaryName?) {
    self.name = name
    self.descriptor = descriptor
    self.temporary = temporary
  }

  public static func standardOutput() -> OutputFile {
    TerminalLine.leaveToStandardOutput()
    return OutputFile(name: "standard output", descriptor: STDOUT_FILENO, temporary: nil)
  }

  /// A file written beside its final name, in the same folder, so that the last step is one atomic rename.
  ///
  /// - Throws: `Failure` of kind inputOutput where the folder takes no file, or where something that is no file has the
  ///   final name.
  public init(path: String) throws {
    name = path
    try Self.checkName(path)
    (descriptor, temporary) = try TemporaryName.create(beside: path, as: path)
  }

  deinit {
    if let temporary, descriptor >= 0 {
      temporary.remove(descriptor)
      close(descriptor)
    }
  }

  /// Refuses a path that has something which is neither a file nor a link, which the rename replaces.
  ///
  /// - Throws: `Failure` of kind inputOutput.
  public static func checkName(_ path: String) throws(Failure) {
    var status = stat()
    guard lstat(path, &status) == 0, ![S_IFREG, S_IFLNK].contains(status.st_mode & S_IFMT) else { return }
    throw Failure(
      .inputOutput,
      "\(path): cannot create: expected a file or nothing of that name, found \(kindOfFile(status))")
  }

  /// Writes all of `bytes`, however many calls that takes.
  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes
    while !rest.isEmpty {
      let count = retryingOnInterrupt { Glibc.write(descriptor, rest.baseAddress, rest.count) }
      guard count >= 0 else { throw writeFailure() }
      rest = .init(rebasing: rest[count...])
    }
  }

  /// Writes all of `pieces`, end to end.
  package func write(gathering pieces: [UnsafeRawBufferPointer]) throws {
    var vectors = pieces.map { iovec(iov_base: UnsafeMutableRawPointer(mutating: $0.baseAddress), iov_len: $0.count) }
    var first = 0
    while first < vectors.count {
      let count = vectors[first...].withUnsafeBufferPointer { vectors in
        retryingOnInterrupt { writev(descriptor, vectors.baseAddress, Int32(vectors.count)) }
      }
      guard count >= 0 else { throw writeFailure() }
      var written = count
      while first < vectors.count, written >= vectors[first].iov_len {
        written -= vectors[first].iov_len
        first += 1
      }
      if written > 0 {
        vectors[first].iov_base += written
        vectors[first].iov_len -= written
      }
    }
  }

  private func writeFailure() -> Failure {
    if errno == EPIPE { return Failure(.brokenPipe, "\(name): the reader is gone") }
    return Failure.inputOutput(name, "write")
  }

  /// Where it is a pipe, has it hold more than pipes do at first.
  package func widenPipe() { SystemIO.widenPipe(descriptor) }

  public func write(_ bytes: [UInt8]) throws {
    try bytes.withUnsafeBytes { try write($0) }
  }

  public func write(_ text: String) throws {
    try write(Array(text.utf8))
  }

  /// Closes the file, which is where some file systems first report a failed write, and gives it its final name.
  ///
  /// - Throws: also where a file that is mapped has changed, as nothing made of it is to look finished.
  public func finish() throws {
    try MappedFile.checkUnchanged()
    // A second descriptor tells, after the first one is closed, whether the temporary name still means the same file.
    let witness = temporary == nil ? -1 : fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
    defer { if witness >= 0 { close(witness) } }
    let closing = descriptor
    descriptor = -1
    // Linux frees the descriptor even when close is interrupted: closing again could close another file.
    let closed = close(closing) == 0 || errno == EINTR
    guard let temporary else {
      guard closed else { throw Failure.inputOutput(name, "close") }
      return
    }
    do {
      guard closed else { throw Failure.inputOutput(name, "close") }
      try temporary.rename(to: name, witness)
      tellOfFinishedFile(name)
    } catch {
      temporary.remove(witness)
      throw error
    }
  }
}
