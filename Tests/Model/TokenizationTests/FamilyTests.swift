import JSON
import SystemIO
import TestSupport
import Testing
import Tokenization

/// The pipelines of the families whose tokenizers are read, against what Hugging Face tokenizers and transformers'
/// AutoTokenizer make of the same files (make_fixtures.py).
@Suite struct FamilyTests {
  private static let recorded: JSON = (try? JSON(parsing: readFile("\(fixtures)/families.json"))) ?? .null
  private static let texts = recorded["texts"]?.elements?.compactMap(\.utf8) ?? []
  private static let families = recorded["families"]?.elements ?? []

  private let folder: TemporaryFolder

  init() throws { folder = try TemporaryFolder() }

  /// Writes a family's tokenizer.json, and its other files where they are asked for.
  private func tokenizer(_ family: JSON, withOtherFiles: Bool) throws -> Tokenizer {
    let base = try #require(Self.recorded["bases"]?[family["base"]?.text ?? ""]?.members)
    let changed = try #require(family["members"]?.members)
    let kept = base.filter { member in !changed.contains { $0.key == member.key } }
    let members =
      try kept
      + changed.map { member in
        guard member.key.elementsEqual("model".utf8) else { return member }
        // Of a model only what differs is recorded.
        let own = try #require(member.value.members)
        let model = try #require(base.first { $0.key.elementsEqual("model".utf8) }?.value.members)
        return .init(key: member.key, value: .object(model.filter { m in !own.contains { $0.key == m.key } } + own))
      }
    let path = try folder.write(serialized(.object(members)).utf8, to: "tokenizer.json")
    guard withOtherFiles else { return try Tokenizer(path: path) }
    for file in try #require(family["files"]?.members) {
      try folder.write(serialized(file.value).utf8, to: String(decoding: file.key, as: UTF8.self))
    }
    return try Tokenizer(path: folder.path)
  }

  private func family(_ name: String) throws -> JSON {
    try #require(Self.families.first { $0["name"]?.text == name })
  }

  private static func ids(_ json: JSON?) -> [Int32] { json?.elements?.compactMap { $0.int.map(Int32.init) } ?? [] }

  /// A fixture without cases would pass.
  @Test func casesAreThere() {
    #expect(Self.families.count > 40)
    #expect(Self.texts.count > 25)
  }

  @Test(arguments: families.map { $0["name"]?.text ?? "" })
  func ids(name: String) throws {
    let family = try family(name)
    let alone = try tokenizer(family, withOtherFiles: false)
    let inFolder = try tokenizer(family, withOtherFiles: true)
    let expected = try #require(family["ids"]?.elements).map(Self.ids)
    let ofFile = family["file"]?.elements.map { $0.map(Self.ids) } ?? expected
    #expect(inFolder.paddingIsBefore == family["pads_left"]?.boolean)
    // Twice, as words are remembered.
    for _ in 0..<2 {
      for (number, text) in Self.texts.enumerated() {
        let shown = String(decoding: text, as: UTF8.self).debugDescription
        let ids = try inFolder.encode(text, cutTo: 1 << 20, addingSpecialTokens: true)
        #expect(ids == expected[number], "folder: \(shown)")
        let idsAlone = try alone.encode(text, cutTo: 1 << 20, addingSpecialTokens: true)
        #expect(idsAlone == ofFile[number], "file: \(shown)")
        #expect(ids.allSatisfy { $0 <= inFolder.largestID })
      }
    }
  }

  @Test(arguments: families.map { $0["name"]?.text ?? "" })
  func texts(name: String) throws {
    let family = try family(name)
    let tokenizer = try tokenizer(family, withOtherFiles: true)
    func expectDecoding(_ ids: JSON, _ text: JSON?, skips: Bool) throws {
      let found = try tokenizer.decode(Self.ids(ids), skippingSpecialTokens: skips)
      // Not as strings, for which "é" and "e" with an accent are the same.
      #expect(
        Array(found.utf8) == text?.utf8, "\(Self.ids(ids)): \(found.debugDescription), expected \(text?.text ?? "")")
    }
    for (ids, text) in zip(try #require(family["ids"]?.elements), try #require(family["decoded"]?.elements)) {
      try expectDecoding(ids, text, skips: false)
    }
    for (ids, text) in zip(family["ids"]?.elements ?? [], family["skipped"]?.elements ?? []) {
      try expectDecoding(ids, text, skips: true)
    }
    for sequence in try #require(family["sequences"]?.elements) {
      try expectDecoding(try #require(sequence["ids"]), sequence["text"], skips: false)
      try expectDecoding(try #require(sequence["ids"]), sequence["skipped"], skips: true)
    }
  }

  @Test(
    "The pieces of a text are the text, whatever its characters are cut into",
    arguments: ["gpt2", "gpt_neox", "llama 3", "llama 2", "mistral", "gemma", "qwen3"])
  func pieces(name: String) throws {
    let tokenizer = try tokenizer(try family(name), withOtherFiles: true)
    let text = "a b  cé東👍🏽\n 'ſ x1"
    let pieces = try tokenizer.encode(Array(text.utf8)).map { try #require(try tokenizer.piece(of: $0)) }
    // A space may have been put before the text.
    #expect([text, " " + text].contains(String(decoding: pieces.flatMap(\.bytes), as: UTF8.self)))
    #expect(pieces.contains { $0.text == nil })
    #expect(pieces.allSatisfy { !$0.isSpecial })
  }

  /// Of every family, of its recorded texts and of tokens in any order: end to end the text of all of them, and what is
  /// there after each token is in the decoding of the tokens up to it.
  @Test(arguments: families.map { $0["name"]?.text ?? "" })
  func textsOfTokens(name: String) throws {
    let family = try family(name)
    let tokenizer = try tokenizer(family, withOtherFiles: true)
    var numbers = SeededNumbers(seed: 31)
    var all = (family["ids"]?.elements ?? []).map(Self.ids)
    // Most of them no text, and some of no token.
    for _ in 0..<30 {
      all.append(
        (0..<Int.random(in: 0..<12, using: &numbers)).map { _ in
          Int32.random(in: -1...tokenizer.largestID + 1, using: &numbers)
        })
    }
    all.append(try tokenizer.encode(Array("a b  cé東👍🏽\n 'ſ x1".utf8)).dropLast(8))
    for ids in all {
      let texts = try tokenizer.texts(of: ids).map { Array($0.utf8) }
      #expect(texts.count == ids.count)
      #expect(Array(texts.joined()) == Array(try tokenizer.decode(ids).utf8), "\(ids)")
      for count in ids.indices {
        let decoded = Array(try tokenizer.decode(Array(ids.prefix(count))).utf8)
        // Where the tokens so far end within a character, what they are decoded to alone is not the text's beginning.
        guard Array(texts.joined()).starts(with: decoded),
          !String(decoding: decoded, as: UTF8.self).contains("\u{fffd}")
        else { continue }
        #expect(Array(texts.prefix(count).joined()) == decoded, "\(ids.prefix(count))")
      }
    }
  }

  @Test func textsOfSplitCharacters() throws {
    let bytes = try tokenizer(try family("llama 2"), withOtherFiles: true)
    let thumb = try bytes.encode(Array("a 👐!".utf8))
    #expect(thumb.count == 7)
    // The space before the text is not in it; that of a token elsewhere is.
    #expect(try bytes.texts(of: thumb) == ["a", " ", "", "", "", "👐", "!"])
    #expect(try bytes.texts(of: thumb, areTextStart: false) == [" a", " ", "", "", "", "👐", "!"])
    #expect(try bytes.texts(of: Array(thumb.dropFirst(3)), areTextStart: false).joined() == "\u{fffd}\u{fffd}\u{fffd}!")
    #expect(try bytes.texts(of: Array(thumb.prefix(4))).joined() == bytes.decode(Array(thumb.prefix(4))))
    #expect(try bytes.texts(of: []) == [])
  }

  @Test func piecesOfTokens() throws {
    let tokenizer = try tokenizer(try family("llama 2"), withOtherFiles: true)
    let begin = try tokenizer.encode([], cutTo: 9, addingSpecialTokens: true)
    #expect(try tokenizer.piece(of: begin[0]) == TokenPiece(bytes: Array("<s>".utf8), isSpecial: true))
    let thumb = try tokenizer.encode(Array("👐".utf8)).map { try tokenizer.piece(of: $0) }
    #expect(thumb.map { $0?.shown } == [" ", "<0xF0>", "<0x9F>", "<0x91>", "<0x90>"])
    #expect(thumb.map { $0?.text } == [" ", nil, nil, nil, nil])
    #expect(try tokenizer.piece(of: 100_000) == nil)
    #expect(try tokenizer.piece(of: -1) == nil)
    #expect(try tokenizer.decode([-1, 100_000]) == "")
  }

  @Test func shownBytes() {
    let cut = TokenPiece(bytes: [0x61, 0xe6, 0x9d, 0x62, 0x0a, 0xff] + Array("é".utf8), isSpecial: false)
    #expect(cut.shown == "a<0xE6><0x9D>b\n<0xFF>é")
    #expect(cut.text == nil)
    #expect(TokenPiece(bytes: Array(" é".utf8), isSpecial: false).text == " é")
  }
}
