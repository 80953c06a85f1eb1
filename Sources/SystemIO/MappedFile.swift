import Glibc

/// A file's bytes as the page cache holds them: shared between processes, read on first touch.
public final class MappedFile: @unchecked Sendable {
  public let path: String
  public let bytes: UnsafeRawBufferPointer

  public init(path: String) throws {
    self.path = path
    let descriptor = retryingOnInterrupt { open(path, O_RDONLY | O_CLOEXEC) }
    guard descriptor >= 0 else { throw Failure.cannotOpen(path) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw Failure.cannotOpen(path) }
    guard status.st_mode & S_IFMT == S_IFREG else {
      throw Failure(.cannotOpen, "\(path): cannot open: not a regular file")
    }
    let size = Int(status.st_size)
    guard size > 0 else {
      bytes = UnsafeRawBufferPointer(start: nil, count: 0)
      return
    }
    guard let address = mmap(nil, size, PROT_READ, MAP_SHARED, descriptor, 0), address != MAP_FAILED else {
      throw Failure.inputOutput(path, "mmap")
    }
    bytes = UnsafeRawBufferPointer(start: address, count: size)
  }

  /// Takes the pages that lie in `part` out of this process's memory, for a reader that has made its own copy. They
  /// stay in the page cache and come back when they are touched.
  public func release(_ part: UnsafeRawBufferPointer) {
    guard let address = part.baseAddress else { return }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let start = (Int(bitPattern: address) + page - 1) / page * page
    let end = (Int(bitPattern: address) + part.count) / page * page
    if end > start { madvise(UnsafeMutableRawPointer(bitPattern: start), end - start, MADV_DONTNEED) }
  }

  deinit {
    if let address = bytes.baseAddress { munmap(UnsafeMutableRawPointer(mutating: address), bytes.count) }
  }
}
