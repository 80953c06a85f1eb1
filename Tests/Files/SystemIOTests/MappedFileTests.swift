import Foundation
import SystemIO
import TestSupport
import Testing

@Suite(.serialized) struct MappedFileTests {
  private let folder = try! TemporaryFolder()

  /// More than two pieces, of bytes that tell where they lie.
  private static let contents = (0..<(33 << 20) + 17).map { UInt8(truncatingIfNeeded: $0 * 31 >> 3) }

  private func mapped() throws -> MappedFile {
    try Data(Self.contents).write(to: folder.url("file"))
    return try MappedFile(path: folder.file("file"))
  }

  /// How much of mapped files this process has in memory.
  private func residentFilePages() throws -> Int {
    let fields = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8).split(separator: " ")
    return try #require(Int(fields[2])) * Int(sysconf(Int32(_SC_PAGESIZE)))
  }

  @Test func readThroughShowsEveryByteOnceInOrder() throws {
    let file = try mapped()
    var read: [UInt8] = []
    MappedFile.readThrough(file.bytes) { read += $0 }
    #expect(read == Self.contents)
    var part: [UInt8] = []
    MappedFile.readThrough(UnsafeRawBufferPointer(rebasing: file.bytes[5..<(20 << 20)])) { part += $0 }
    #expect(part == Array(Self.contents[5..<(20 << 20)]))
    MappedFile.readThrough(UnsafeRawBufferPointer(start: nil, count: 0)) { _ in Issue.record("there is no piece") }
  }

  @Test func whatIsLetGoOfComesBack() throws {
    let file = try mapped()
    #expect(file.bytes.elementsEqual(Self.contents))
    let before = try residentFilePages()
    MappedFile.letGo(of: file.bytes)
    #expect(try residentFilePages() < before - (16 << 20))
    #expect(file.bytes.elementsEqual(Self.contents))
  }

  /// Their contents would be gone.
  @Test func memoryOfItsOwnIsKept() {
    let buffer = AlignedBuffer(capacity: 8 << 20)
    let bytes = UnsafeMutableRawBufferPointer(start: buffer.address, count: 8 << 20)
    bytes.copyBytes(from: Self.contents.prefix(8 << 20))
    MappedFile.letGo(of: UnsafeRawBufferPointer(bytes))
    #expect(bytes.elementsEqual(Self.contents.prefix(8 << 20)))
  }
}
