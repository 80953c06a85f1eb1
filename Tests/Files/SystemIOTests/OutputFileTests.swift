import Foundation
import SystemIO
import TestSupport
import Testing

/// Files of others are neither written, nor renamed, nor removed, whatever names they have.
@Suite struct OutputFileTests {
  private let folder = try! TemporaryFolder()

  private var final: String { folder.file("out") }
  private var temporary: String { "\(final).\(getpid()).partial" }

  private func write(_ text: String, to name: String) throws {
    try text.write(toFile: name, atomically: false, encoding: .utf8)
  }

  private func text(_ name: String) throws -> String { try String(contentsOfFile: name, encoding: .utf8) }

  private func names() throws -> Set<String> {
    Set(try FileManager.default.contentsOfDirectory(atPath: folder.path))
  }

  @Test func aFileAppearsWhenItIsFinished() throws {
    try write("former", to: final)
    let file = try OutputFile(path: final)
    try file.write("new")
    #expect(try text(final) == "former")
    #expect(try names() == ["out", "out.\(getpid()).partial"])
    try file.finish()
    #expect(try text(final) == "new")
    #expect(try names() == ["out"])
  }

  @Test func aFileThatIsNotFinishedIsRemoved() throws {
    do {
      let file = try OutputFile(path: final)
      try file.write("half")
    }
    #expect(try names() == [])
  }

  @Test func theTemporaryNameIsSomebodyElses() throws {
    try write("somebody else's", to: temporary)
    let file = try OutputFile(path: final)
    try file.write("ours")
    try file.finish()
    #expect(try text(temporary) == "somebody else's")
    #expect(try text(final) == "ours")
    do { _ = try OutputFile(path: final) }
    #expect(try text(temporary) == "somebody else's")
  }

  @Test func linksAtTheTemporaryNameAreNotFollowed() throws {
    try write("precious", to: folder.file("target"))
    for target in [folder.file("target"), folder.file("nothing")] {
      #expect(symlink(target, temporary) == 0)
      let file = try OutputFile(path: final)
      try file.write("ours")
      try file.finish()
      #expect(try text(final) == "ours")
      #expect(unlink(temporary) == 0)
    }
    #expect(try text(folder.file("target")) == "precious")
    #expect(try names() == ["out", "target"])
  }

  @Test func aLinkAtTheFinalNameIsReplaced() throws {
    try write("precious", to: folder.file("target"))
    #expect(symlink(folder.file("target"), final) == 0)
    let file = try OutputFile(path: final)
    try file.write("ours")
    try file.finish()
    #expect(try text(folder.file("target")) == "precious")
    #expect(try text(final) == "ours")
  }

  /// Somebody moves our file away and puts another in its place.
  @Test func aFileThatTookOurNameIsNeitherRenamedNorRemoved() throws {
    let finished = try OutputFile(path: final)
    #expect(rename(temporary, folder.file("moved")) == 0)
    try write("theirs", to: temporary)
    let failure = #expect(throws: Failure.self) { try finished.finish() }
    #expect(failure?.kind == .inputOutput && failure?.description.contains("another file has taken the name") == true)
    #expect(try text(temporary) == "theirs")
    #expect(try names() == ["moved", "out.\(getpid()).partial"])
  }

  @Test func whatIsNoFileKeepsItsName() throws {
    #expect(mkdir(folder.file("folder"), 0o777) == 0)
    #expect(mkfifo(folder.file("fifo"), 0o666) == 0)
    for (name, kind) in [("folder", "a folder"), ("fifo", "a pipe")] {
      let failure = #expect(throws: Failure.self) { try OutputFile(path: folder.file(name)) }
      #expect(failure?.description.hasSuffix("expected a file or nothing of that name, found \(kind)") == true)
    }
    #expect(try names() == ["fifo", "folder"])
  }

  @Test func foldersForOutput() throws {
    try write("", to: folder.file("file"))
    for name in ["", "new", "new/deep/er/"] { try checkOutputFolder(folder.file(name)) }
    #expect(try names() == ["file"])
    for name in ["file", "file/deep"] {
      let failure = #expect(throws: Failure.self) { try checkOutputFolder(folder.file(name)) }
      #expect(failure?.kind == .inputOutput && failure?.description.hasPrefix(folder.file(name)) == true)
    }
    #expect(throws: Failure.self) { try checkOutputFolder("/proc/self/new") }
    let link = folder.file("link")
    #expect(symlink("/no/where", link) == 0)
    let found =
      "cannot create: expected a folder or nothing of that name, found a link to /no/where, which is not there"
    for name in [link, "\(link)/new"] {
      #expect(throws: Failure(.inputOutput, "\(name): \(found)")) { try checkOutputFolder(name) }
    }
  }

  @Test func foldersOfPaths() {
    let folders = [
      "a": ".", "a/b": "a", "a/b/": "a", "/a": "/", "/": "/", "a//": ".", "/a/b/c": "/a/b", "": ".",
    ]
    for (path, expected) in folders { #expect(SystemIO.folder(of: path) == expected, "\(path)") }
  }
}
