import Glibc

/// A file's bytes as the page cache holds them: shared between processes, read on first touch.
///
/// What another process writes into the file shows here. `checkUnchanged` notices it, afterwards.
public final class MappedFile: @unchecked Sendable {
  public let path: String
  public let bytes: UnsafeRawBufferPointer

  /// Open as long as the file is mapped; -1 for an empty one.
  private let descriptor: Int32

  public init(path: String) throws {
    self.path = path
    // A pipe of that name must not keep the program waiting for a writer.
    let descriptor = retryingOnInterrupt { open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) }
    guard descriptor >= 0 else { throw Failure.cannotOpen(path) }
    var isMapped = false
    defer { if !isMapped { close(descriptor) } }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Failure.cannotOpen(path) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw Failure(.cannotOpen, "\(path): cannot open: expected a file, found \(kindOfFile(status))")
    }
    let size = Int(status.st_size)
    guard size > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      self.descriptor = -1
      return
    }
    guard let address = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0), address != MAP_FAILED else {
      if errno == ENOMEM { throw Failure.outOfMemory(size) }
      throw Failure.inputOutput(path, "mmap")
    }
    isMapped = true
    self.descriptor = descriptor
    bytes = UnsafeRawBufferPointer(start: address, count: size)
    MappedFiles.add(bytes, path, descriptor, status)
  }

  /// Throws a failure of kind inputOutput where a file that is mapped has been written to since, in a program that
  /// called `takeChargeOfProcess()`.
  public static func checkUnchanged() throws { try MappedFiles.checkUnchanged() }

  /// Hands over `bytes` piece by piece, each of which is let go of afterwards: what reads a file once from end to end
  /// has no more than a piece of it in memory.
  public static func readThrough(_ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) -> Void) {
    for start in stride(from: 0, to: bytes.count, by: 16 << 20) {
      let piece = UnsafeRawBufferPointer(rebasing: bytes[start..<min(start + 16 << 20, bytes.count)])
      body(piece)
      letGo(of: piece)
    }
  }

  /// Begins to read the pages that hold `bytes`, and those alone, where a first touch reads what lies around them too.
  /// Does not wait; memory of another kind is left as it is.
  public static func willRead(_ bytes: UnsafeRawBufferPointer) {
    guard let address = bytes.baseAddress, !bytes.isEmpty else { return }
    let start = Int(bitPattern: address) / pageSize * pageSize
    let end = Int(bitPattern: address) + bytes.count
    madvise(UnsafeMutableRawPointer(bitPattern: start), end - start, MADV_WILLNEED)
  }

  /// Takes the pages of mapped files among `bytes` out of this process's memory. The page cache keeps them, and the
  /// next touch brings them back (some ms for 200 MB). Memory of another kind is left alone.
  public static func letGo(of bytes: UnsafeRawBufferPointer) {
    guard let address = bytes.baseAddress, MappedFiles.contain(bytes) else { return }
    let start = (Int(bitPattern: address) + pageSize - 1) / pageSize * pageSize
    let end = (Int(bitPattern: address) + bytes.count) / pageSize * pageSize
    if start < end { madvise(UnsafeMutableRawPointer(bitPattern: start), end - start, MADV_DONTNEED) }
  }

  private static let pageSize = Int(sysconf(Int32(_SC_PAGESIZE)))

  deinit {
    guard let address = bytes.baseAddress else { return }
    MappedFiles.remove(bytes)
    munmap(UnsafeMutableRawPointer(mutating: address), bytes.count)
    close(descriptor)
  }
}
