import Foundation
import RunEngine
import SystemIO
import TestSupport
import Testing

/// What a work folder believes, and what it removes.
struct WorkFolderTests {
  private let folder: TemporaryFolder
  private let work: WorkFolder
  private let name = "gradients-sae-grad-layer-3-0123456789abcdef.ts"
  private var key: Key {
    var key = Key()
    key.add("--stride", "4")
    return key
  }

  init() throws {
    folder = try TemporaryFolder()
    work = try WorkFolder(folder.path)
  }

  private func publish(_ text: String) throws {
    let claim = try #require(try work.claim(name))
    #expect(write(claim.descriptor, text, text.utf8.count) == text.utf8.count)
    try claim.publish(key)
  }

  private func names() -> [String] { namesInFolder(folder.path) }

  @Test func whatIsPublishedIsComplete() throws {
    #expect(work.state(of: name) == .absent)
    try publish("stream")
    #expect(work.state(of: name) == .complete)
    #expect(names() == [name, "\(name).record"])
    #expect(try String(contentsOf: folder.url(name), encoding: .utf8) == "stream")
    #expect(work.lastKeys == ["gradients-sae-grad-layer-3": key])
  }

  @Test func aFileWithoutARecordIsNotBelieved() throws {
    try Data("stream".utf8).write(to: folder.url(name))
    #expect(work.state(of: name) == .absent)
    try publish("other")
    for torn in [0, 10, 80] {
      let record = try Data(contentsOf: folder.url("\(name).record"))
      try record.prefix(torn).write(to: folder.url("\(name).record"))
      #expect(work.state(of: name) == .absent)
      try record.write(to: folder.url("\(name).record"))
      #expect(work.state(of: name) == .complete)
    }
  }

  @Test func aChangedFileIsNotBelievedAndACopyIs() throws {
    try publish("stream")
    // Another time, another inode, the same content.
    let bytes = try Data(contentsOf: folder.url(name))
    try FileManager.default.removeItem(atPath: folder.file(name))
    #expect(work.state(of: name) == .lost("its file is gone"))
    try bytes.write(to: folder.url(name))
    #expect(work.state(of: name) == .complete)
    try Data("strewn".utf8).write(to: folder.url(name))
    #expect(work.state(of: name) == .lost("its file has changed since it was made"))
    try Data("stre".utf8).write(to: folder.url(name))
    #expect(work.state(of: name) == .lost("its file has changed since it was made"))
  }

  @Test func oneRunAtATimeMakesAStream() throws {
    let other = try WorkFolder(folder.path)
    do {
      let claim = try #require(try work.claim(name))
      #expect(try other.claim(name) == nil)
      other.sweep()
      #expect(names() == ["\(name).gradient-run.partial"])
      withExtendedLifetime(claim) {}
    }
    #expect(names().isEmpty)
    #expect(try other.claim(name) != nil)
  }

  /// Files of others are neither removed nor followed, whatever their names end in.
  @Test func onlyOwnRemainsAreRemoved() throws {
    let others = [
      "notes.partial", "tokens.ts.1.partial", "\(name).partial", "\(name).12x.partial", "x-\(name).1.partial",
    ]
    let dead = [
      "\(name).gradient-run.partial", "\(name).123.partial", "\(name).123.4.partial", "\(name).record.9.partial",
    ]
    for file in others + dead { try Data("x".utf8).write(to: folder.url(file)) }
    try FileManager.default.createDirectory(at: folder.url("\(name).77.partial"), withIntermediateDirectories: false)
    try FileManager.default.createDirectory(at: folder.url("folder.partial"), withIntermediateDirectories: false)
    try FileManager.default.createSymbolicLink(
      atPath: folder.file("\(name).78.partial"), withDestinationPath: "notes.partial")
    work.sweep()
    #expect(Set(names()) == Set(others + ["\(name).77.partial", "folder.partial", "\(name).78.partial"]))
  }

  @Test func linksAtUnfinishedNamesAreRefused() throws {
    try Data("precious".utf8).write(to: folder.url("target"))
    let partial = folder.file("\(name).gradient-run.partial")
    try FileManager.default.createSymbolicLink(atPath: partial, withDestinationPath: "target")
    #expect(throws: Failure.self) { try work.claim(name) }
    try FileManager.default.removeItem(atPath: partial)
    try FileManager.default.linkItem(atPath: folder.file("target"), toPath: partial)
    #expect(throws: Failure.self) { try work.claim(name) }
    work.sweep()
    #expect(try String(contentsOf: folder.url("target"), encoding: .utf8) == "precious")
    #expect(names() == [name + ".gradient-run.partial", "target"])
  }
}
