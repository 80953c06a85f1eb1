import Glibc

/// Hands over the bytes of a regular file piece by piece, from where it would be read to its end; nothing moves on in
/// it. Of an empty file that is one piece of no bytes.
///
/// - Parameter name: the file's path; `-` for standard input.
/// - Returns: false, without a call of `body`, for what can be read only once, such as a pipe.
public func readRegularFile(_ name: String, _ body: (UnsafeRawBufferPointer) throws -> Void) throws -> Bool {
  let isStandardInput = name == "-"
  // A pipe must not be opened here: its writer would wait for this reader.
  guard isRegular(name) else { return false }
  let descriptor = isStandardInput ? STDIN_FILENO : retryingOnInterrupt { open(name, O_RDONLY | O_CLOEXEC) }
  guard descriptor >= 0 else { throw Failure.cannotOpen(name) }
  defer { if !isStandardInput { close(descriptor) } }
  var offset = isStandardInput ? lseek(descriptor, 0, SEEK_CUR) : 0
  guard offset >= 0 else { return false }
  // Not on the stack, of which a limit may leave little.
  let buffer = AlignedBuffer(capacity: 1 << 20)
  var isFirst = true
  while true {
    let count = retryingOnInterrupt { pread(descriptor, buffer.address, buffer.capacity, offset) }
    guard count >= 0 else { throw Failure.inputOutput(name, "read") }
    guard count > 0 || isFirst else { return true }
    try body(UnsafeRawBufferPointer(start: buffer.address, count: count))
    isFirst = false
    offset += count
  }
}

/// Whether there is a file with an end, and not a pipe, a terminal or a device; `-` is standard input.
func isRegular(_ name: String) -> Bool {
  var status = stat()
  return (name == "-" ? fstat(STDIN_FILENO, &status) : stat(name, &status)) == 0 && status.st_mode & S_IFMT == S_IFREG
}
