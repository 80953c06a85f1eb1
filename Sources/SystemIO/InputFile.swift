import Glibc

/// A file, pipe or terminal read from front to back.
public final class InputFile {
  /// The name in messages: the path, or `-` for standard input.
  public let name: String
  let descriptor: Int32

  public init(path: String) throws {
    name = path
    descriptor = retryingOnInterrupt { open(path, O_RDONLY | O_CLOEXEC) }
    guard descriptor >= 0 else { throw Failure.cannotOpen(path) }
    var status = stat()
    if fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFDIR {
      close(descriptor)
      throw Failure(.cannotOpen, "\(path): cannot open: is a directory")
    }
  }

  private init(standardInput: ()) {
    name = "-"
    descriptor = STDIN_FILENO
  }

  public static func standardInput() -> InputFile { InputFile(standardInput: ()) }

  /// The files at `paths`, `-` meaning standard input, which is also what no path at all means.
  public static func standardInputOr(_ paths: [String]) throws -> [InputFile] {
    try (paths.isEmpty ? ["-"] : paths).map { $0 == "-" ? standardInput() : try InputFile(path: $0) }
  }

  deinit {
    if descriptor > STDERR_FILENO { close(descriptor) }
  }

  /// Reads what is there, at most `buffer.count` bytes. 0 means end of file.
  public func read(into buffer: UnsafeMutableRawBufferPointer) throws -> Int {
    let count = retryingOnInterrupt { Glibc.read(descriptor, buffer.baseAddress, buffer.count) }
    guard count >= 0 else { throw Failure.inputOutput(name, "read") }
    return count
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
