import Glibc
import JSON
import SystemIO
import TestSupport
import Testing
import Tokenization

/// Folders of a tokenizer with all kinds of files in them, against what transformers' AutoTokenizer makes of them
/// (make_fixtures.py).
@Suite struct TokenizerFolderTests {
  private static let recorded: (texts: [[UInt8]], folders: [JSON]) = {
    guard let json = try? JSON(parsing: readFile("\(fixtures)/folders.json")),
      let folders = json["folders"]?.elements, let texts = json["texts"]?.elements?.compactMap(\.utf8)
    else { return ([], []) }
    return (texts, folders)
  }()

  @Test(arguments: recorded.folders.map { $0["name"]?.text ?? "" })
  func folder(name: String) throws {
    let recorded = try #require(Self.recorded.folders.first { $0["name"]?.text == name })
    let folder = try TemporaryFolder()
    try Self.write(recorded, to: folder)
    let tokenizer = try Tokenizer(path: folder.path)
    func ids(_ key: String) throws -> [[Int32]] {
      try #require(recorded[key]?.elements).map { ($0.elements ?? []).compactMap { $0.int.map(Int32.init) } }
    }
    let texts = Self.recorded.texts
    #expect(try texts.map { try tokenizer.encode($0, cutTo: 1 << 20, addingSpecialTokens: true) } == (try ids("ids")))
    #expect(
      try texts.map { try tokenizer.encode($0, cutTo: 1 << 20, addingSpecialTokens: false) } == (try ids("plain")))
    #expect(try texts.map { try tokenizer.encode($0, cutTo: 6, addingSpecialTokens: true) } == (try ids("cut")))
    #expect(tokenizer.paddingIsBefore == recorded["pads_left"]?.boolean)
    if let pad = recorded["pad"]?.int { #expect(try tokenizer.padID() == Int32(pad)) }
    #expect(try #require(try ids("ids").joined().max()) <= tokenizer.largestID)
  }

  /// A fixture without cases would pass.
  @Test func casesAreThere() {
    #expect(Self.recorded.folders.count > 60)
    #expect(Self.recorded.texts.count == 5)
  }

  @Test("Other settings are another tokenizer, and chat templates are none")
  func contentHash() throws {
    func hash(_ configuration: String) throws -> String {
      let folder = try TemporaryFolder()
      try folder.write(readFile("\(fixtures)/strings/tokenizer.json"), to: "tokenizer.json")
      try folder.write(configuration.utf8, to: "tokenizer_config.json")
      return try Tokenizer(path: folder.path).contentHash
    }
    let plain = try hash("{}")
    #expect(try hash(#"{"chat_template":"…","model_max_length":512}"#) == plain)
    for configuration in [
      #"{"truncation_side":"left"}"#, #"{"padding_side":"left"}"#, #"{"split_special_tokens":true}"#,
      #"{"extra_special_tokens":["<|new|>"]}"#,
    ] {
      #expect(try hash(configuration) != plain, "\(configuration)")
    }
  }

  @Test func warnsOfOtherIDsThanTheFileGives() throws {
    let folder = try TemporaryFolder()
    let original = try text(of: "\(fixtures)/strings/tokenizer.json")
    let path = try folder.write(try replacing(#""id":603"#, by: #""id":633"#, in: original).utf8, to: "tokenizer.json")
    #expect(
      try Tokenizer(path: path).warnings == [
        "\(path): added tokens get other ids than their file gives them, as from Hugging Face's libraries: "
          + "\"<word>\" 603 instead of 633"
      ])
    #expect(try Tokenizer(path: "\(fixtures)/strings").warnings.isEmpty)
  }

  /// A link that leads nowhere was meant to be read: without its file the ids might be others.
  @Test(arguments: ["tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "config.json"])
  func refusesLinksToNowhere(name: String) throws {
    let folder = try TemporaryFolder()
    try folder.write(readFile("\(fixtures)/strings/tokenizer.json"), to: "tokenizer.json")
    #expect(symlink("/no/where", folder.file(name)) == 0)
    let message = "\(folder.file(name)): cannot open: expected a file, found a link to /no/where, which is not there"
    #expect(throws: Failure(.cannotOpen, message)) { try Tokenizer(path: folder.path) }
  }

  private static func write(_ recorded: JSON, to folder: TemporaryFolder) throws {
    if let base = recorded["base"]?.text {
      let changed = recorded["members"]?.members ?? []
      let members = try #require(try JSON(parsing: readFile("\(fixtures)/\(base)/tokenizer.json")).members)
      let kept = members.filter { member in !changed.contains { $0.key == member.key } }
      try folder.write(serialized(.object(kept + changed)).utf8, to: "tokenizer.json")
    } else {
      for name in ["vocab.json", "merges.txt"] { try folder.write(readFile("\(fixtures)/split/\(name)"), to: name) }
    }
    for file in recorded["files"]?.members ?? [] {
      try folder.write(serialized(file.value).utf8, to: String(decoding: file.key, as: UTF8.self))
    }
  }
}
