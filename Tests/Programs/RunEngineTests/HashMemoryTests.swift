import Foundation
import RunEngine
import SystemIO
import TestSupport
import Testing

/// Which files are read for their hashes, and which are known.
struct HashMemoryTests {
  private let folder: TemporaryFolder
  private var path: String { folder.file("hashes") }
  private static let hash = SHA256.of("text")

  init() throws {
    folder = try TemporaryFolder()
    try Data("text".utf8).write(to: folder.url("file"))
  }

  /// What is younger than the clock's grain is not remembered. The time of the change itself cannot be set, and is waited
  /// for.
  private func age(_ name: String) throws {
    try FileManager.default.setAttributes(
      [.modificationDate: Date(timeIntervalSince1970: 1e9)], ofItemAtPath: folder.file(name))
    sleep(3)
  }

  /// The hash of `file`, and how many files were read for it.
  private func find(_ name: String = "file") throws -> (hash: String, read: Int) {
    var memory = try HashMemory(path: path)
    var count = 0
    let found = try memory.find([(name, folder.file(name))]) { count = $0 }
    return (found[0].hash, count)
  }

  @Test func aFileIsReadOnce() throws {
    try age("file")
    #expect(try find() == (Self.hash, 1))
    #expect(try find() == (Self.hash, 0))
    // A torn line is passed over, and does not spoil the next one.
    let memory = try String(contentsOfFile: path, encoding: .utf8)
    try (memory + "0123").write(toFile: path, atomically: false, encoding: .utf8)
    #expect(try find() == (Self.hash, 0))
    try String(memory.dropLast(20)).write(toFile: path, atomically: false, encoding: .utf8)
    #expect(try find() == (Self.hash, 1))
    #expect(try find() == (Self.hash, 0))
    #expect(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int == 0o600)
  }

  /// Even where its size and its time of modification are set back.
  @Test func aFileThatIsEditedInPlaceIsReadAgain() throws {
    try age("file")
    #expect(try find().read == 1)
    try Data("task".utf8).write(to: folder.url("file"))
    try age("file")
    #expect(try find() == (SHA256.of("task"), 1))
  }

  @Test func aYoungFileIsNotRemembered() throws {
    try Data("young".utf8).write(to: folder.url("young"))
    #expect(try find("young").read == 1)
    #expect(try find("young").read == 1)
    #expect(try !FileManager.default.fileExists(atPath: path) || Data(contentsOf: folder.url("hashes")).isEmpty)
  }

  /// A name that looks like a hash, as in the hub's cache, proves nothing.
  @Test func namesProveNothing() throws {
    let name = String(repeating: "0", count: 64)
    try FileManager.default.createDirectory(at: folder.url("blobs"), withIntermediateDirectories: false)
    try Data("text".utf8).write(to: folder.url("blobs/\(name)"))
    #expect(try find("blobs/\(name)") == (Self.hash, 1))
  }

  @Test func linksAreNotFollowed() throws {
    try Data("precious".utf8).write(to: folder.url("target"))
    try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: "target")
    #expect(throws: Failure.self) { try find() }
    #expect(try String(contentsOf: folder.url("target"), encoding: .utf8) == "precious")
  }
}
