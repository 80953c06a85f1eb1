import Glibc

/// Where a program's data goes: standard output, or a file that appears under its name only when complete.
///
/// Nothing is complete until `finish()` returns: it reports what `close` reports, and gives the file its name.
/// A file that is not finished is removed.
public final class OutputFile {
  /// The name in messages: the path, or `standard output`.
  public let name: String
  private var descriptor: Int32
  /// Where the bytes lie until `finish()`; nil for standard output.
  private let temporary: String?

  private init(name: String, descriptor: Int32, temporary: String?) {
    self.name = name
    self.descriptor = descriptor
    self.temporary = temporary
  }

  public static func standardOutput() -> OutputFile {
    OutputFile(name: "standard output", descriptor: STDOUT_FILENO, temporary: nil)
  }

  /// A file written beside its final name, in the same folder, so that the last step is one atomic rename.
  public init(path: String) throws {
    name = path
    let temporary = "\(path).\(getpid()).partial"
    self.temporary = temporary
    descriptor = retryingOnInterrupt { open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o666) }
    guard descriptor >= 0 else { throw Failure(.inputOutput, "\(path): cannot create: \(lastSystemError())") }
    UnfinishedFiles.add(temporary)
  }

  deinit {
    if let temporary, descriptor >= 0 {
      close(descriptor)
      unlink(temporary)
      UnfinishedFiles.remove(temporary)
    }
  }

  /// Writes all of `bytes`, however many calls that takes.
  public func write(_ bytes: UnsafeRawBufferPointer) throws {
    var rest = bytes
    while !rest.isEmpty {
      let count = retryingOnInterrupt { Glibc.write(descriptor, rest.baseAddress, rest.count) }
      guard count >= 0 else {
        if errno == EPIPE { dieOfBrokenPipe() }
        throw Failure.inputOutput(name, "write")
      }
      rest = .init(rebasing: rest[count...])
    }
  }

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
    let closing = descriptor
    descriptor = -1
    defer { if let temporary { UnfinishedFiles.remove(temporary) } }
    // Linux frees the descriptor even when close is interrupted: closing again could close another file.
    let closed = close(closing) == 0 || errno == EINTR
    guard let temporary else {
      guard closed else { throw Failure.inputOutput(name, "close") }
      return
    }
    guard closed, rename(temporary, name) == 0 else {
      let failure = Failure.inputOutput(name, closed ? "rename" : "close")
      unlink(temporary)
      throw failure
    }
  }
}

/// Ends the process as SIGPIPE would have, where a parent told it to ignore SIGPIPE: the reader is gone, which is
/// the reader's choice and no error message's business.
private func dieOfBrokenPipe() -> Never {
  signal(SIGPIPE, SIG_DFL)
  raise(SIGPIPE)
  _exit(141)
}
