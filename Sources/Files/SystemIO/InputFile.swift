import Glibc

/// A file, pipe or terminal read from front to back.
public final class InputFile {
  /// The name in messages: the path, or `-` for standard input.
  public let name: String
  private var state: State
  /// Where standard input began, which others may have read from before; nil where it cannot be read again.
  private let start: off_t?

  private enum State {
    /// To be opened by the first read.
    case unopened
    case open(Int32)
    /// Read to its end.
    case ended
  }

  /// Opens the file.
  public init(path: String) throws {
    name = path
    state = .open(try Self.open(path))
    start = nil
  }

  private init(name: String, _ state: State, start: off_t? = nil) {
    self.name = name
    self.state = state
    self.start = start
  }

  /// - Throws: `Failure` of kind cannotOpen where it is a folder.
  public static func standardInput() throws -> InputFile {
    try check("-")
    let start = isRegular("-") ? lseek(STDIN_FILENO, 0, SEEK_CUR) : -1
    return InputFile(name: "-", .open(STDIN_FILENO), start: start < 0 ? nil : start)
  }

  /// The files at `paths`, `-` meaning standard input, which is also what no path at all means.
  ///
  /// All are tried now, so that a program does not find out after hours of work. But each is opened when it is first
  /// read and closed at its end: there may be more of them than a process may have open.
  ///
  /// - Throws: `Failure` of kind cannotOpen for what is missing, unreadable or a folder; of kind usage where standard
  ///   input is named twice.
  public static func standardInputOr(_ paths: [String]) throws -> [InputFile] {
    let names = paths.isEmpty ? ["-"] : paths
    guard names.count(where: { $0 == "-" }) < 2 else {
      throw Failure(.usage, "-: standard input was named twice, but can be read only once")
    }
    return try names.map { name in
      if name == "-" { return try standardInput() }
      try check(name)
      return InputFile(name: name, .unopened)
    }
  }

  private static func check(_ name: String) throws {
    var status = stat()
    guard name != "-" else {
      // A descriptor that is closed, or open for writing only, fails when it is read.
      if fstat(STDIN_FILENO, &status) == 0 { try refuseFolder(name, status) }
      return
    }
    guard stat(name, &status) == 0 else { throw Failure.cannotOpen(name) }
    try refuseFolder(name, status)
    // Opening a pipe waits for its writer, and closing it again would end that.
    guard status.st_mode & S_IFMT == S_IFREG else {
      guard access(name, R_OK) == 0 else { throw Failure.cannotOpen(name) }
      return
    }
    close(try open(name))
  }

  private static func open(_ path: String) throws -> Int32 {
    let descriptor = retryingOnInterrupt { Glibc.open(path, O_RDONLY | O_CLOEXEC) }
    guard descriptor >= 0 else { throw Failure.cannotOpen(path) }
    var status = stat()
    if fstat(descriptor, &status) == 0 {
      do { try refuseFolder(path, status) } catch {
        close(descriptor)
        throw error
      }
    }
    return descriptor
  }

  private static func refuseFolder(_ name: String, _ status: stat) throws {
    guard status.st_mode & S_IFMT == S_IFDIR else { return }
    throw Failure(.cannotOpen, "\(name): cannot open: is a directory")
  }

  deinit { end() }

  /// Closes the file, unless it is standard input, which others may go on with.
  private func end() {
    if case .open(let descriptor) = state, descriptor > STDERR_FILENO { close(descriptor) }
    state = .ended
  }

  /// Where it is a pipe, has it hold more than pipes do at first.
  package func widenPipe() {
    if case .open(let descriptor) = state { SystemIO.widenPipe(descriptor) }
  }

  /// Reads what is there, at most `buffer.count` bytes. 0 means end of file.
  public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    let descriptor: Int32
    switch state {
    case .open(let opened): descriptor = opened
    case .unopened:
      descriptor = try Self.open(name)
      state = .open(descriptor)
    case .ended: return 0
    }
    let count = retryingOnInterrupt { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
    guard count >= 0 else { throw Failure.inputOutput(name, "read") }
    if count == 0, !buffer.isEmpty { end() }
    return count
  }

  /// Whether `rewind` is possible: of a file, and not of a pipe or a terminal.
  public var canRewind: Bool { name == "-" ? start != nil : isRegular(name) }

  /// Has the next read begin where the first one did.
  ///
  /// - Throws: `Failure` of kind cannotOpen where that is not possible.
  public func rewind() throws {
    guard canRewind else {
      throw Failure(.cannotOpen, "\(name): expected a file, found a pipe or terminal, which can be read only once")
    }
    end()
    guard let start else { return state = .unopened }
    guard lseek(STDIN_FILENO, start, SEEK_SET) == start else { throw Failure.inputOutput(name, "seek") }
    state = .open(STDIN_FILENO)
  }

  /// Everything up to the end of file, refused beyond `limit` bytes.
  public func readAll(limit: Int) throws -> [UInt8] {
    var bytes: [UInt8] = []
    while true {
      let start = bytes.count
      guard start <= limit else {
        throw Failure(.malformed, "\(name): too large: expected at most \(limit) bytes")
      }
      bytes.append(contentsOf: repeatElement(0, count: max(65_536, start)))
      let count = try bytes.withUnsafeMutableBytes { try read(into: .init(rebasing: $0[start...])) }
      bytes.removeLast(bytes.count - start - count)
      if count == 0 { return bytes }
    }
  }
}
