import JSON
import SystemIO

/// What a tokenizer puts around every text, BOS and EOS for most: the post-processor of `tokenizer.json`.
struct SpecialTokens: Equatable {
  var before: [Int32] = []
  var after: [Int32] = []

  var count: Int { before.count + after.count }

  init(before: [Int32] = [], after: [Int32] = []) {
    self.before = before
    self.after = after
  }

  /// - Parameter postProcessor: `post_processor` of a `tokenizer.json`. Of a template the part for single texts counts.
  init(_ postProcessor: JSON, at place: String = "post_processor") throws {
    if postProcessor.isNull { return }
    switch postProcessor["type"]?.text {
    // It moves offsets only.
    case "ByteLevel": break
    case "Sequence":
      for (number, part) in (postProcessor["processors"]?.elements ?? []).enumerated() {
        let place = "\(place).processors[\(number)]"
        // To a template the tokens that another one has added are texts of their own.
        if count > 0 {
          try expect(part["type"], at: "\(place).type", "\"ByteLevel\" behind what adds tokens") {
            $0.text == "ByteLevel"
          }
        }
        let own = try SpecialTokens(part, at: place)
        before += own.before
        after += own.after
      }
    case "TemplateProcessing": try addTemplate(postProcessor, at: place)
    case "BertProcessing", "RobertaProcessing":
      before = [try Self.id(postProcessor["cls"]?.elements?.last, at: "\(place).cls")]
      after = [try Self.id(postProcessor["sep"]?.elements?.last, at: "\(place).sep")]
    default:
      throw unexpected(
        postProcessor["type"], at: "\(place).type",
        "\"ByteLevel\", \"TemplateProcessing\", \"BertProcessing\", \"RobertaProcessing\" or a \"Sequence\" of them")
    }
  }

  private mutating func addTemplate(_ template: JSON, at place: String) throws {
    var isBehindText = false
    for (number, piece) in (template["single"]?.elements ?? []).enumerated() {
      let place = "\(place).single[\(number)]"
      if let name = piece["SpecialToken"]?["id"]?.text {
        guard let ids = template["special_tokens"]?[name]?["ids"]?.elements else {
          throw Failure(.malformed, "\(place): \(JSON.quote(name)) is not among the template's special_tokens")
        }
        let numbers = try ids.map { try Self.id($0, at: "\(place): \(JSON.quote(name))") }
        if isBehindText { after += numbers } else { before += numbers }
      } else if piece["Sequence"]?["id"]?.text == "A", !isBehindText {
        isBehindText = true
      } else {
        throw unexpected(piece, at: place, "special tokens, and the text \"A\" once")
      }
    }
    guard isBehindText else {
      throw Failure(.malformed, "\(place).single: expected the text \"A\" among its pieces, found none")
    }
  }

  private static func id(_ json: JSON?, at place: String) throws -> Int32 {
    guard let id = json?.int.flatMap({ Int32(exactly: $0) }), id >= 0 else {
      throw unexpected(json, at: place, "an id from 0 to \(Int32.max)")
    }
    return id
  }
}
