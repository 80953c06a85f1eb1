import Glibc
import SystemIO
import TestSupport
import Testing
import Tokenization

/// The tokenizer of Qwen2.5-0.5B on real text, where both are at hand.
@Suite(.enabled(if: exists(sharedData), "needs ../shared/data, which is not part of the project"))
struct RealTokenizerTests {
  private static func tokenizer() throws -> Tokenizer { try Tokenizer(path: "\(sharedData)/qwen2.5-0.5b") }

  /// compare_with_hf.py --lines prints what is expected here.
  @Test(
    "All lines of WikiText",
    arguments: [
      ("wiki.test.raw", 4358, 300_405, "8cda50876f738472"),
      ("wiki.valid.raw", 3760, 263_509, "d42dd9836f9ae06c"),
      ("train.first-1MB.noblank.txt", 2120, 228_821, "b82a2bff1bc71b7f"),
    ])
  func lines(file: String, lineCount: Int, idCount: Int, hash: String) throws {
    let tokenizer = try Self.tokenizer()
    let text = try readFile("\(sharedData)/wikitext-2-raw/\(file)")
    var found = ContentHash()
    var lines = 0
    var ids = 0
    for line in splitIntoLines(text) {
      let lineIDs = try tokenizer.encode(line)
      lines += 1
      ids += lineIDs.count
      ([Int32(lineIDs.count)] + lineIDs).withUnsafeBytes { found.update($0) }
    }
    #expect(lines == lineCount)
    #expect(ids == idCount)
    #expect(found.hexadecimal == hash)
  }

  @Test func splitFilesGiveTheSameIDs() throws {
    let data = sharedData
    let folder = try TemporaryFolder()
    for name in ["vocab.json", "merges.txt", "tokenizer_config.json"] {
      try folder.write(try readFile("\(data)/qwen2.5-0.5b/\(name)"), to: name)
    }
    let split = try Tokenizer(path: folder.path)
    let whole = try Self.tokenizer()
    #expect(split.largestID == whole.largestID)
    #expect(try split.padID() == 151_643)
    #expect(try whole.padID() == 151_643)
    for line in splitIntoLines(try readFile("\(data)/wikitext-2-raw/wiki.valid.raw")) {
      #expect(try split.encode(line) == (try whole.encode(line)))
    }
    let special = Array("<|im_start|>user\nhi<|im_end|> <tool_call> <|fim_pad|>".utf8)
    #expect(try split.encode(special) == (try whole.encode(special)))
  }

  @Test func wholeTestSplitAsOneText() throws {
    let data = sharedData
    let rows = splitIntoLines(try readFile("\(data)/wikitext-2-raw/wiki.test.raw")).map { line in
      // The data set's rows: nothing for a blank line, else the line.
      line.allSatisfy { [0x20, 0x0a].contains($0) } ? [] : line
    }
    let expected = try readFile("\(data)/tokenizer-vectors/wikitext2-test.joined.qwen2.5.u32le.bin")
    let ids = try Self.tokenizer().encode(Array(rows.joined(separator: Array("\n\n".utf8))))
    #expect(ids.count == 299_078)
    #expect(ids.withUnsafeBytes { Array($0) } == expected)
  }

  @Test func casesOfLlamaCpp() throws {
    let folder = "\(sharedData)/tokenizer-vectors/ggml-vocab-qwen2.gguf"
    let separator = Array("\n__ggml_vocab_test__\n".utf8)
    let texts = try readFile("\(folder).inp").split(separator: separator, omittingEmptySubsequences: false)
    let ids = try text(of: "\(folder).out").split(separator: "\n", omittingEmptySubsequences: false)
    #expect(texts.count == 47)
    #expect(ids.count == 47)
    let cases = zip(texts, ids).map { text, line in
      Case(text: Array(text), ids: line.split(separator: " ").compactMap { Int32($0) })
    }
    try expectAgreement(try Self.tokenizer(), cases)
  }
}

/// The lines of `text`, each with its line feed.
private func splitIntoLines(_ text: [UInt8]) -> [[UInt8]] {
  var lines: [[UInt8]] = [[]]
  for byte in text {
    lines[lines.count - 1].append(byte)
    if byte == UInt8(ascii: "\n") { lines.append([]) }
  }
  return lines.last == [] ? lines.dropLast() : lines
}
