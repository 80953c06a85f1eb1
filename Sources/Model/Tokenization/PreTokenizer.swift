import JSON
import SystemIO

/// How normalized text becomes the words that the model encodes one by one: the pre-tokenizer of `tokenizer.json`.
package struct PreTokenizer {
  /// Where Metaspace puts its replacement before a piece of text that does not begin with it.
  enum PrependScheme: String {
    /// Before every piece; before what begins the text; or nowhere.
    case always, first, never
  }

  private enum Step {
    case split(TextPattern, SplitBehavior, isInverted: Bool)
    /// A space, where the piece does not begin with one.
    case prefixSpace
    case metaspace(replacement: [UInt8], PrependScheme)
  }

  private var steps: [Step] = []
  /// Words are in bytes, each of which has a spelling in the vocabulary; else in characters.
  private(set) var isByteLevel = false

  package init(_ json: JSON?, at place: String = "pre_tokenizer") throws {
    guard let json, !json.isNull else { return }
    switch json["type"]?.text {
    case "Split": try addSplit(json, at: place)
    case "Digits":
      let isIndividual = try flag(json["individual_digits"], at: "\(place).individual_digits", default: false)
      steps = [.split(.numbers, isIndividual ? .isolated : .contiguous, isInverted: false)]
    case "ByteLevel":
      isByteLevel = true
      if try flag(json["add_prefix_space"], at: "\(place).add_prefix_space", default: true) {
        steps.append(.prefixSpace)
      }
      if try flag(json["use_regex"], at: "\(place).use_regex", default: true) {
        steps.append(.split(.words(.gpt2), .isolated, isInverted: false))
      }
    case "Metaspace": try addMetaspace(json, at: place)
    case "Sequence":
      for (number, part) in try elements(json["pretokenizers"], at: "\(place).pretokenizers").enumerated() {
        let place = "\(place).pretokenizers[\(number)]"
        guard !isByteLevel else { throw unexpected(part["type"], at: "\(place).type", "nothing behind \"ByteLevel\"") }
        let own = try PreTokenizer(part, at: place)
        steps += own.steps
        isByteLevel = own.isByteLevel
      }
    default:
      throw unexpected(
        json["type"], at: "\(place).type",
        "\"Split\", \"Digits\", \"ByteLevel\", \"Metaspace\" or a \"Sequence\" of them")
    }
  }

  private mutating func addSplit(_ json: JSON, at place: String) throws {
    guard let behavior = json["behavior"]?.text.flatMap(SplitBehavior.init) else {
      throw unexpected(
        json["behavior"], at: "\(place).behavior",
        "\"Isolated\", \"Removed\", \"MergedWithPrevious\", \"MergedWithNext\" or \"Contiguous\"")
    }
    let isInverted = try flag(json["invert"], at: "\(place).invert", default: false)
    steps = [.split(try TextPattern(json["pattern"], at: "\(place).pattern"), behavior, isInverted: isInverted)]
  }

  private mutating func addMetaspace(_ json: JSON, at place: String) throws {
    let replacement = try string(json["replacement"], at: "\(place).replacement")
    try expect(json["replacement"], at: "\(place).replacement", "one character") { _ in
      String(decoding: replacement, as: UTF8.self).unicodeScalars.count == 1
    }
    steps.append(.metaspace(replacement: replacement, try PrependScheme(json, at: place)))
    if try flag(json["split"], at: "\(place).split", default: true) {
      steps.append(.split(.literal(replacement), .mergedWithNext, isInverted: false))
    }
  }

  /// Splits words before each `▁` that no merge joins to what is before it. That changes no id, and words then repeat.
  ///
  /// - Parameter joining: the last bytes of what a merge may join to a `▁` behind it.
  mutating func splitAtMarks(joining: ByteSet) {
    steps.append(.split(.words(.marked(joining: joining)), .isolated, isInverted: false))
  }

  /// Calls `body` for each word, none of which is empty.
  ///
  /// - Parameter isAtStart: the text that is to be encoded begins with `text`.
  package func forEachWord(
    of text: UnsafeRawBufferPointer, isAtStart: Bool, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    if !text.isEmpty { try forEachWord(of: text, isAtStart, steps: 0, body) }
  }

  private func forEachWord(
    of text: UnsafeRawBufferPointer, _ isAtStart: Bool, steps number: Int,
    _ body: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    guard number < steps.count else { return try body(text) }
    switch steps[number] {
    case .split(.words(let splitter), .isolated, _) where number == steps.count - 1:
      try splitter.forEachWord(of: text) { try body(UnsafeRawBufferPointer(rebasing: text[$0])) }
    case .split(let pattern, let behavior, let isInverted):
      try behavior.forEachPart(of: text, at: pattern, isInverted: isInverted) { part in
        let isAtStart = isAtStart && part.baseAddress == text.baseAddress
        try forEachWord(of: part, isAtStart, steps: number + 1, body)
      }
    case .prefixSpace:
      guard text[0] != UInt8(ascii: " ") else { return try forEachWord(of: text, isAtStart, steps: number + 1, body) }
      let changed = [UInt8(ascii: " ")] + text
      try changed.withUnsafeBytes { try forEachWord(of: $0, isAtStart, steps: number + 1, body) }
    case .metaspace(let replacement, let scheme):
      var changed: [UInt8] = []
      changed.reserveCapacity(text.count + text.count / 2 + replacement.count)
      let prepends = scheme == .always || scheme == .first && isAtStart
      if prepends, text[0] != UInt8(ascii: " "), !text.starts(with: replacement) {
        changed.append(contentsOf: replacement)
      }
      for byte in text {
        if byte == UInt8(ascii: " ") { changed.append(contentsOf: replacement) } else { changed.append(byte) }
      }
      try changed.withUnsafeBytes { try forEachWord(of: $0, isAtStart, steps: number + 1, body) }
    }
  }
}

extension PreTokenizer.PrependScheme {
  /// - Parameter json: a Metaspace, of a pre-tokenizer or of a decoder. Older files say it with `add_prefix_space`.
  init(_ json: JSON, at place: String) throws {
    guard let value = json["prepend_scheme"], !value.isNull else {
      self = try flag(json["add_prefix_space"], at: "\(place).add_prefix_space", default: true) ? .always : .never
      return
    }
    guard let scheme = value.text.flatMap(Self.init) else {
      throw unexpected(value, at: "\(place).prepend_scheme", "\"always\", \"first\" or \"never\"")
    }
    if json["add_prefix_space"]?.boolean == false, scheme != .never {
      throw unexpected(value, at: "\(place).prepend_scheme", "\"never\", as add_prefix_space is false")
    }
    self = scheme
  }
}
