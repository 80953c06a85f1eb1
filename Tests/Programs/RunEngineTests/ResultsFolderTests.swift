import Foundation
import RunEngine
import SystemIO
import TestSupport
import Testing

/// A folder of results gets a name of its own, and all of it at once.
struct ResultsFolderTests {
  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  private func made(_ content: String) throws -> ResultsFolder {
    let results = try ResultsFolder(in: folder.path)
    try Data(content.utf8).write(to: URL(fileURLWithPath: "\(results.path)/array"))
    return results
  }

  /// Two runs that finish in the same second.
  @Test func everyRunHasANameOfItsOwn() throws {
    let (one, two) = (try made("one"), try made("two"))
    #expect(try two.publish(as: ["a", "b"]) == folder.file("a"))
    #expect(try one.publish(as: ["a", "b"]) == folder.file("b"))
    for (name, content) in [("a", "two"), ("b", "one")] {
      #expect(try String(contentsOf: folder.url("\(name)/array"), encoding: .utf8) == content)
    }
    let three = try made("three")
    #expect(throws: Failure.self) { try three.publish(as: ["a", "b"]) }
    #expect(namesInFolder(folder.file("a")) == ["array"])
  }

  @Test func nothingIsLeftOfAFolderWithoutAName() throws {
    do { _ = try made("x") }
    #expect(namesInFolder(folder.path).isEmpty)
  }

  /// What has its form is removed when nobody holds it; links lead nowhere, and other folders stay.
  @Test func onlyOwnRemainsAreRemoved() throws {
    let kept = ["mine.partial", ".gradient-run-x-1.partial", ".gradient-run-1.partial"]
    for name in kept + [".gradient-run-12-345.partial"] {
      try FileManager.default.createDirectory(at: folder.url("\(name)/output"), withIntermediateDirectories: true)
    }
    try FileManager.default.createDirectory(at: folder.url("target"), withIntermediateDirectories: false)
    try Data().write(to: folder.url("target/file"))
    try FileManager.default.createSymbolicLink(
      atPath: folder.file(".gradient-run-12-345.partial/output/link"), withDestinationPath: folder.file("target"))
    try FileManager.default.createSymbolicLink(
      atPath: folder.file(".gradient-run-9-9.partial"), withDestinationPath: folder.file("target"))
    let living = try made("x")
    do { _ = try made("y") }
    #expect(namesInFolder(living.path) == ["array"])
    #expect(namesInFolder(folder.file("target")) == ["file"])
    let left = namesInFolder(folder.path)
    #expect(Set(left).isSuperset(of: kept + ["target", ".gradient-run-9-9.partial"]))
    #expect(left.count == 6, "\(left)")
  }
}
