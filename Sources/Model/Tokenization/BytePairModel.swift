import JSON
import SystemIO

/// What a BPE model does beside merging.
struct BytePairModel {
  /// A word that is itself in the vocabulary is one token, whatever the merges make of it (Llama 3's tokenizers).
  var ignoresMerges = false
  /// The token of what the vocabulary lacks.
  var unknownToken: [UInt8]?
  /// Neighbours that the vocabulary lacks become one unknown token.
  var fusesUnknown = false
  /// What the vocabulary lacks becomes tokens such as `<0x0A>`, where it has these.
  var fallsBackToBytes = false

  /// `<0x00>` to `<0xFF>`.
  static let byteTokens: [[UInt8]] = (UInt8.min...UInt8.max).map { byte in
    Array("<0x\(byte < 16 ? "0" : "")\(String(byte, radix: 16, uppercase: true))>".utf8)
  }

  /// The byte of a token such as `<0x0A>`. A plus may come before one digit, as Rust reads numbers.
  static func byte(ofToken token: ArraySlice<UInt8>) -> UInt8? {
    guard token.count == 6, token.starts(with: "<0x".utf8), token.last == UInt8(ascii: ">") else { return nil }
    return UInt8(String(decoding: token.dropFirst(3).prefix(2), as: UTF8.self), radix: 16)
  }

  /// - Parameter json: `model` of a `tokenizer.json`, whose vocabulary and merges are read elsewhere.
  init(_ json: JSON, at place: String = "model") throws {
    try expect(json["dropout"], at: "\(place).dropout", "none") { $0.isNull || $0.number == 0 }
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
      try expect(json[key], at: "\(place).\(key)", "none") { $0.isNull || $0.utf8 == [] }
    }
    try expect(json["unk_token"], at: "\(place).unk_token", "a token or none") { $0.isNull || $0.utf8 != nil }
    unknownToken = json["unk_token"]?.utf8
    ignoresMerges = try flag(json["ignore_merges"], at: "\(place).ignore_merges", default: false)
    fusesUnknown = try flag(json["fuse_unk"], at: "\(place).fuse_unk", default: false)
    fallsBackToBytes = try flag(json["byte_fallback"], at: "\(place).byte_fallback", default: false)
  }

  /// Refuses an unknown token that is none of the vocabulary's, where it may be needed.
  func check(_ vocabulary: Vocabulary, isByteLevel: Bool) throws {
    guard let unknownToken, vocabulary.id(of: unknownToken) == nil else { return }
    guard isByteLevel ? !vocabulary.hasAll(of: byteLevelSpellings) : !hasByteTokens(vocabulary) else { return }
    throw unexpected(.string(unknownToken), at: "model.unk_token", "a token of the vocabulary, or none")
  }

  /// Whether a character may be left out, so that its neighbours become neighbours.
  func dropsUnknown(_ vocabulary: Vocabulary) -> Bool { unknownToken == nil && !hasByteTokens(vocabulary) }

  private func hasByteTokens(_ vocabulary: Vocabulary) -> Bool {
    fallsBackToBytes && vocabulary.hasAll(of: Self.byteTokens)
  }
}
