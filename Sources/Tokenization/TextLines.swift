import Glibc
import SystemIO

/// The lines of a text file, each with the line feed that ends it. The last one may lack it.
final class TextLines {
  let name: String
  /// The number of the line that `next()` returned last, counted from 1.
  private(set) var number = 0
  private let file: InputFile
  /// Made when it is first used, and let go of at the end: there may be thousands of files.
  private var buffer: [UInt8] = []
  /// The bytes of `buffer` that were read and not used yet.
  private var pending = 0..<0

  init(_ file: InputFile) {
    self.file = file
    name = file.name
  }

  /// The next line; nil at the end of the file.
  func next() throws -> [UInt8]? {
    var line: [UInt8] = []
    while true {
      if pending.isEmpty {
        if buffer.isEmpty { buffer = Array(repeating: 0, count: 1 << 16) }
        pending = 0..<(try buffer.withUnsafeMutableBytes { try file.read(into: $0) })
        if pending.isEmpty { break }
      }
      let end = lineEnd()
      line.append(contentsOf: buffer[pending.lowerBound..<end])
      pending = end..<pending.upperBound
      if line.last == UInt8(ascii: "\n") { break }
    }
    if line.isEmpty {
      buffer = []
      return nil
    }
    number += 1
    return line
  }

  /// Behind the first line feed of the pending bytes, or their end.
  private func lineEnd() -> Int {
    buffer.withUnsafeBytes { bytes in
      let start = bytes.baseAddress! + pending.lowerBound
      guard let found = memchr(start, Int32(UInt8(ascii: "\n")), pending.count) else { return pending.upperBound }
      return UnsafeRawPointer(found) - bytes.baseAddress! + 1
    }
  }
}
