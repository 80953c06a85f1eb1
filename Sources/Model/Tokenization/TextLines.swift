import Glibc
import SystemIO

/// The pieces of a text file that end in a certain byte, its lines for one, each with that byte. The last one may lack
/// it.
final class TextLines {
  /// So much of a text is looked at to tell what it is, and is read ahead of a pipe.
  static let startLength = 1 << 16

  let name: String
  /// The number of the piece that `next()` returned last, counted from 1.
  private(set) var number = 0
  private let file: InputFile
  private let terminator: UInt8
  let inspect: (UnsafeRawBufferPointer) throws -> Void
  private var hasStarted = false
  /// Made when it is first used, and let go of at the end: there may be thousands of files.
  private var buffer: [UInt8] = []
  /// The bytes of `buffer` that were read and not used yet.
  private var pending = 0..<0

  /// - Parameters:
  ///   - terminator: the byte that ends a piece.
  ///   - inspect: sees the start of the file, `startLength` bytes or all of it, before anything is made of it.
  init(_ file: InputFile, endingIn terminator: UInt8, inspect: @escaping (UnsafeRawBufferPointer) throws -> Void) {
    self.file = file
    self.terminator = terminator
    self.inspect = inspect
    name = file.name
  }

  /// The next piece; nil at the end of the file.
  func next() throws -> [UInt8]? {
    try readStart()
    var piece: [UInt8] = []
    while true {
      if pending.isEmpty, !buffer.isEmpty {
        pending = 0..<(try buffer.withUnsafeMutableBytes { try file.read(into: $0) })
      }
      if pending.isEmpty { break }
      let end = pieceEnd()
      piece.append(contentsOf: buffer[pending.lowerBound..<end])
      pending = end..<pending.upperBound
      if piece.last == terminator { break }
    }
    if piece.isEmpty {
      buffer = []
      return nil
    }
    number += 1
    return piece
  }

  /// The first bytes of the file, before `next()` is called: `startLength` of them, or all that it has.
  func start() throws -> ArraySlice<UInt8> {
    try readStart()
    return buffer[pending]
  }

  private func readStart() throws {
    guard !hasStarted else { return }
    hasStarted = true
    buffer = Array(repeating: 0, count: Self.startLength)
    var count = 0
    while count < buffer.count {
      let read = try buffer.withUnsafeMutableBytes { try file.read(into: .init(rebasing: $0[count...])) }
      if read == 0 { break }
      count += read
    }
    pending = 0..<count
    try buffer[pending].withUnsafeBytes(inspect)
  }

  /// Behind the first terminator of the pending bytes, or their end.
  private func pieceEnd() -> Int {
    buffer.withUnsafeBytes { bytes in
      let start = bytes.baseAddress! + pending.lowerBound
      guard let found = memchr(start, Int32(terminator), pending.count) else { return pending.upperBound }
      return UnsafeRawPointer(found) - bytes.baseAddress! + 1
    }
  }
}
