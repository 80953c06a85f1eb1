import JSON
import SystemIO

/// How tokens become text again: the decoder of `tokenizer.json`.
struct TokenDecoder {
  private enum Step {
    case byteLevel, byteFallback, fuse
    /// So many of one character off each end.
    case strip([UInt8], start: Int, stop: Int)
    case replace(TextPattern, [UInt8])
    case metaspace([UInt8], dropsFirst: Bool)
  }

  /// nil where there is no decoder: the tokens come with a space between.
  private var steps: [Step]?

  init(_ json: JSON?, at place: String = "decoder") throws {
    guard let json, !json.isNull else { return }
    switch json["type"]?.text {
    case "ByteLevel": steps = [.byteLevel]
    case "ByteFallback": steps = [.byteFallback]
    case "Fuse": steps = [.fuse]
    case "Strip":
      func count(_ key: String) throws -> Int {
        guard let count = json[key]?.int, count >= 0 else {
          throw unexpected(json[key], at: "\(place).\(key)", "a count")
        }
        return count
      }
      steps = [
        .strip(try string(json["content"], at: "\(place).content"), start: try count("start"), stop: try count("stop"))
      ]
    case "Replace":
      steps = [
        .replace(
          try TextPattern(json["pattern"], at: "\(place).pattern"), try string(json["content"], at: "\(place).content"))
      ]
    case "Metaspace":
      let replacement = try string(json["replacement"], at: "\(place).replacement")
      let scheme = try PreTokenizer.PrependScheme(json, at: place)
      steps = [.metaspace(replacement, dropsFirst: scheme != .never)]
    case "Sequence":
      steps = []
      for (number, part) in try elements(json["decoders"], at: "\(place).decoders").enumerated() {
        steps! += try TokenDecoder(part, at: "\(place).decoders[\(number)]").steps ?? []
      }
    default:
      throw unexpected(
        json["type"], at: "\(place).type",
        "\"ByteLevel\", \"ByteFallback\", \"Fuse\", \"Strip\", \"Replace\", \"Metaspace\" or a \"Sequence\" of them")
    }
  }

  /// The text of tokens as the vocabulary spells them. Bytes that are no UTF-8 become U+FFFD.
  func decode(_ tokens: [[UInt8]]) throws -> [UInt8] {
    guard let steps else { return Array(tokens.joined(separator: [UInt8(ascii: " ")])) }
    var tokens = tokens
    for step in steps {
      switch step {
      case .byteLevel: tokens = [Self.repaired(tokens.flatMap(Self.byteLevelBytes))]
      case .byteFallback: tokens = Self.joiningByteTokens(tokens)
      case .fuse: tokens = [Array(tokens.joined())]
      case .strip(let content, let start, let stop):
        tokens = tokens.map { Self.stripped($0, of: content, start: start, stop: stop) }
      case .replace(let pattern, let content):
        tokens = try tokens.map { token in
          try token.withUnsafeBytes { try pattern.replacing(with: content, in: $0) } ?? token
        }
      case .metaspace(let replacement, let dropsFirst):
        tokens = tokens.enumerated().map { number, token in
          Self.replacing(replacement, by: number == 0 && dropsFirst ? [] : [UInt8(ascii: " ")], in: token)
        }
      }
    }
    return Array(tokens.joined())
  }

  /// The bytes that a token stands for within a text, which may be parts of a character.
  func bytes(of token: [UInt8]) throws -> [UInt8] {
    var bytes = token
    var isJoined = false
    for step in steps ?? [] {
      switch step {
      case .byteLevel: bytes = Self.byteLevelBytes(bytes)
      case .byteFallback: bytes = BytePairModel.byte(ofToken: bytes[...]).map { [$0] } ?? bytes
      case .fuse: isJoined = true
      // The ends of a text are not those of its tokens.
      case .strip(let content, let start, let stop):
        if !isJoined { bytes = Self.stripped(bytes, of: content, start: start, stop: stop) }
      case .replace(let pattern, let content):
        guard (try? UTF8Span(validating: bytes.span)) != nil else { break }
        bytes = try bytes.withUnsafeBytes { try pattern.replacing(with: content, in: $0) } ?? bytes
      case .metaspace(let replacement, _): bytes = Self.replacing(replacement, by: [UInt8(ascii: " ")], in: bytes)
      }
    }
    return bytes
  }

  // MARK: Steps

  /// Each byte by the character that spells it, from U+0000 up; -1 for a character that spells none.
  private static let bytesOfSpellings: [Int16] = {
    var bytes = [Int16](repeating: -1, count: 0x144)
    for (byte, spelling) in byteLevelSpellings.enumerated() {
      bytes[Int(String(decoding: spelling, as: UTF8.self).unicodeScalars.first!.value)] = Int16(byte)
    }
    return bytes
  }()

  /// A token with a character that is no byte's spelling, such as an added token, stays as it is.
  private static func byteLevelBytes(_ token: [UInt8]) -> [UInt8] {
    var bytes: [UInt8] = []
    for scalar in String(decoding: token, as: UTF8.self).unicodeScalars {
      guard scalar.value < bytesOfSpellings.count, bytesOfSpellings[Int(scalar.value)] >= 0 else { return token }
      bytes.append(UInt8(bytesOfSpellings[Int(scalar.value)]))
    }
    return bytes
  }

  /// Bytes that follow one another become characters, or a U+FFFD each where they are not all whole ones.
  private static func joiningByteTokens(_ tokens: [[UInt8]]) -> [[UInt8]] {
    var joined: [[UInt8]] = []
    var bytes: [UInt8] = []
    func close() {
      guard !bytes.isEmpty else { return }
      if (try? UTF8Span(validating: bytes.span)) != nil {
        joined.append(bytes)
      } else {
        joined += Array(repeating: Array("\u{fffd}".utf8), count: bytes.count)
      }
      bytes = []
    }
    for token in tokens {
      if let byte = BytePairModel.byte(ofToken: token[...]) {
        bytes.append(byte)
      } else {
        close()
        joined.append(token)
      }
    }
    close()
    return joined
  }

  private static func stripped(_ token: [UInt8], of content: [UInt8], start: Int, stop: Int) -> [UInt8] {
    var rest = token[...]
    var left = start
    while left > 0, !content.isEmpty, rest.starts(with: content) {
      rest = rest.dropFirst(content.count)
      left -= 1
    }
    left = stop
    while left > 0, !content.isEmpty, rest.suffix(content.count) == content[...] {
      rest = rest.dropLast(content.count)
      left -= 1
    }
    return Array(rest)
  }

  private static func replacing(_ old: [UInt8], by new: [UInt8], in token: [UInt8]) -> [UInt8] {
    guard !old.isEmpty else { return token }
    return Array(
      token.split(separator: old, maxSplits: .max, omittingEmptySubsequences: false).joined(separator: new))
  }

  private static func repaired(_ bytes: [UInt8]) -> [UInt8] {
    (try? UTF8Span(validating: bytes.span)) != nil ? bytes : Array(String(decoding: bytes, as: UTF8.self).utf8)
  }
}
