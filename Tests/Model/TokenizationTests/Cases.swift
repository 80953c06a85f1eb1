import Glibc
import JSON
import SystemIO
import TestSupport
import Testing
import Tokenization

/// A text and the ids that Hugging Face tokenizers give it, as the scripts beside this file record them.
struct Case {
  let text: [UInt8]
  let ids: [Int32]

  /// - Parameter path: a JSON array of `{"text": "…", "ids": […]}`.
  static func read(_ path: String) throws -> [Case] {
    let bytes = try InputFile(path: path).readAll(limit: 1 << 30)
    let elements = try #require(try JSON(parsing: bytes).elements)
    return try elements.map { element in
      // A #require for each of millions of ids would take longer than all the rest.
      let ids = element["ids"]?.elements?.compactMap { $0.int.flatMap(Int32.init(exactly:)) }
      guard let text = element["text"]?.utf8, let ids, ids.count == element["ids"]?.elements?.count else {
        throw Failure(.malformed, "\(path): expected {\"text\": …, \"ids\": […]}")
      }
      return Case(text: text, ids: ids)
    }
  }
}

/// Expects the tokenizer to give every case its ids; shows the first three that it does not.
func expectAgreement(_ tokenizer: Tokenizer, _ cases: [Case], _ location: SourceLocation = #_sourceLocation) throws {
  var differing = 0
  for (number, expected) in cases.enumerated() {
    let found = try tokenizer.encode(expected.text)
    guard found != expected.ids else { continue }
    differing += 1
    guard differing <= 3 else { continue }
    let text = String(decoding: expected.text, as: UTF8.self)
    Issue.record(
      "case \(number): \(text.debugDescription): expected \(expected.ids), found \(found)", sourceLocation: location)
  }
  #expect(differing == 0, "\(differing) of \(cases.count) cases differ", sourceLocation: location)
}

func environment(_ name: String) -> String? {
  getenv(name).map { String(cString: $0) }
}

let fixtures = "\(packageRoot)/Tests/Model/TokenizationTests/Fixtures"

extension TemporaryFolder {
  /// Writes a file and returns its path.
  @discardableResult
  func write(_ bytes: some Sequence<UInt8>, to name: String) throws -> String {
    let output = try OutputFile(path: file(name))
    try output.write(Array(bytes))
    try output.finish()
    return file(name)
  }
}

func readFile(_ path: String) throws -> [UInt8] {
  try InputFile(path: path).readAll(limit: 1 << 30)
}

func text(of path: String) throws -> String {
  String(decoding: try readFile(path), as: UTF8.self)
}

/// `text` with its one occurrence of `old` replaced, so that a test cannot miss what it means to change.
func replacing(_ old: String, by new: String, in text: String) throws -> String {
  let parts = Array(text.utf8).split(separator: Array(old.utf8), maxSplits: .max, omittingEmptySubsequences: false)
  guard parts.count == 2 else { throw Failure(.bug, "\(old) occurs \(parts.count - 1) times") }
  return String(decoding: parts[0] + Array(new.utf8) + parts[1], as: UTF8.self)
}

/// `json` as text again.
func serialized(_ json: JSON) -> String {
  switch json {
  case .null: "null"
  case .bool(let value): String(value)
  case .integer(let value): String(value)
  case .double(let value): String(value)
  case .string(let text): JSON.quote(String(decoding: text, as: UTF8.self))
  case .array(let elements): "[\(elements.map(serialized).joined(separator: ","))]"
  case .object(let members):
    "{\(members.map { "\(serialized(.string($0.key))):\(serialized($0.value))" }.joined(separator: ","))}"
  }
}
