import Glibc
import SystemIO

/// An open descriptor, which a child gets only where it is handed over by name, and which is closed with the object.
final class Descriptor {
  /// What a child is handed lies below; everything here lies above, so that handing one over closes no other.
  private static let lowest: Int32 = 16

  private(set) var number: Int32

  /// - Parameter copied: stays the caller's.
  /// - Throws: `Failure` of kind inputOutput where the process has too many open.
  init(copying copied: Int32) throws(Failure) {
    number = fcntl(copied, F_DUPFD_CLOEXEC, Self.lowest)
    guard number >= 0 else { throw Failure.inputOutput("descriptor \(copied)", "copy") }
  }

  private convenience init(moving moved: Int32) throws(Failure) {
    defer { Glibc.close(moved) }
    try self.init(copying: moved)
  }

  convenience init(opening path: String, _ mode: Int32) throws(Failure) {
    let descriptor = retryingOnInterrupt { open(path, mode | O_CLOEXEC) }
    guard descriptor >= 0 else { throw Failure.cannotOpen(path) }
    try self.init(moving: descriptor)
  }

  deinit { close() }

  func close() {
    if number >= 0 { Glibc.close(number) }
    number = -1
  }

  static func pipe() throws(Failure) -> (reader: Descriptor, writer: Descriptor) {
    var ends: [Int32] = [-1, -1]
    guard Glibc.pipe(&ends) == 0 else { throw Failure.inputOutput("pipe", "open") }
    let reader: Descriptor
    do { reader = try Descriptor(moving: ends[0]) } catch {
      Glibc.close(ends[1])
      throw error
    }
    return (reader, try Descriptor(moving: ends[1]))
  }

  /// Keeps from every child what this process's own parent has left open here.
  static func keepInherited() {
    for number in namesInFolder("/proc/self/fd").compactMap({ Int32($0) }) where number > STDERR_FILENO {
      _ = fcntl(number, F_SETFD, FD_CLOEXEC)
    }
  }

  /// Of a pipe's end, which the other does not share.
  func stopBlocking() {
    _ = fcntl(number, F_SETFL, fcntl(number, F_GETFL) | O_NONBLOCK)
  }

  /// Hands over what has come, where reading does not block; closes at the end of what will ever come.
  ///
  /// - Parameter limit: about how many bytes at most.
  func take(_ limit: Int, _ body: (UnsafeRawBufferPointer) -> Void) {
    var taken = 0
    withUnsafeTemporaryAllocation(byteCount: 16_384, alignment: 1) { buffer in
      while number >= 0, taken < limit {
        let count = retryingOnInterrupt { read(number, buffer.baseAddress, buffer.count) }
        if count < 0, errno == EAGAIN { return }
        guard count > 0 else { return close() }
        body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        taken += count
      }
    }
  }
}
