import JSON

/// What is done to the text between added tokens before it is split: the normalizer of `tokenizer.json`.
struct Normalizer {
  private enum Step {
    case composition
    case prepend([UInt8])
    case replace(TextPattern, [UInt8])
  }

  private var steps: [Step] = []

  init(_ json: JSON?, at place: String = "normalizer") throws {
    guard let json, !json.isNull else { return }
    switch json["type"]?.text {
    case "NFC": steps = [.composition]
    case "Prepend": steps = [.prepend(try string(json["prepend"], at: "\(place).prepend"))]
    case "Replace":
      steps = [
        .replace(
          try TextPattern(json["pattern"], at: "\(place).pattern"), try string(json["content"], at: "\(place).content"))
      ]
    case "Sequence":
      for (number, part) in try elements(json["normalizers"], at: "\(place).normalizers").enumerated() {
        steps += try Normalizer(part, at: "\(place).normalizers[\(number)]").steps
      }
    default:
      throw unexpected(
        json["type"], at: "\(place).type", "\"NFC\", \"Prepend\", \"Replace\" or a \"Sequence\" of them")
    }
  }

  /// Calls `body` with the normalized text, which is `text` itself where nothing changes. It is valid UTF-8, as `text`
  /// must be.
  func normalize(_ text: UnsafeRawBufferPointer, _ body: (UnsafeRawBufferPointer) throws -> Void) throws {
    try normalize(text, from: steps[...], body)
  }

  func normalized(_ text: [UInt8]) throws -> [UInt8] {
    var result = text
    try text.withUnsafeBytes { try normalize($0) { result = Array($0) } }
    return result
  }

  private func normalize(
    _ text: UnsafeRawBufferPointer, from steps: ArraySlice<Step>, _ body: (UnsafeRawBufferPointer) throws -> Void
  ) throws {
    guard let step = steps.first else { return try body(text) }
    let changed: [UInt8]? =
      switch step {
      case .composition: normalizedToNFC(UTF8Span(unchecked: text.assumingMemoryBound(to: UInt8.self).span))
      case .prepend(let content): text.isEmpty ? nil : content + text
      case .replace(let pattern, let content): try pattern.replacing(with: content, in: text)
      }
    guard let changed else { return try normalize(text, from: steps.dropFirst(), body) }
    try changed.withUnsafeBytes { try normalize($0, from: steps.dropFirst(), body) }
  }
}

/// A string of `tokenizer.json`.
func string(_ json: JSON?, at place: String) throws -> [UInt8] {
  guard let string = json?.utf8 else { throw unexpected(json, at: place, "a string") }
  return string
}

/// An array of `tokenizer.json`.
func elements(_ json: JSON?, at place: String) throws -> [JSON] {
  guard let elements = json?.elements else { throw unexpected(json, at: place, "an array") }
  return elements
}

/// A flag of `tokenizer.json`, which may be missing.
func flag(_ json: JSON?, at place: String, default missing: Bool) throws -> Bool {
  guard let json, !json.isNull else { return missing }
  guard let flag = json.boolean else { throw unexpected(json, at: place, "true or false") }
  return flag
}
