/// What one token stands for within a text.
public struct TokenPiece: Equatable, Sendable {
  /// UTF-8, or a part of it: a token may begin or end within a character.
  public let bytes: [UInt8]
  /// Such as BOS, which is no text.
  public let isSpecial: Bool

  public init(bytes: [UInt8], isSpecial: Bool) {
    self.bytes = bytes
    self.isSpecial = isSpecial
  }

  /// The text; nil where not all of it is whole characters.
  public var text: String? {
    (try? UTF8Span(validating: bytes.span)) == nil ? nil : String(decoding: bytes, as: UTF8.self)
  }

  /// The text with each byte that belongs to no whole character spelled `<0xE4>`.
  public var shown: String {
    var shown = ""
    var rest = bytes[...]
    while let error = Self.firstError(in: rest) {
      let (valid, invalid) = (rest.prefix(error.lowerBound), rest.dropFirst(error.lowerBound).prefix(error.count))
      shown += String(decoding: valid, as: UTF8.self)
      for byte in invalid { shown += "<0x\(byte < 16 ? "0" : "")\(String(byte, radix: 16, uppercase: true))>" }
      rest = rest.dropFirst(error.upperBound)
    }
    return shown + String(decoding: rest, as: UTF8.self)
  }

  private static func firstError(in bytes: ArraySlice<UInt8>) -> Range<Int>? {
    do throws(UTF8.ValidationError) {
      _ = try UTF8Span(validating: Array(bytes).span)
      return nil
    } catch { return error.byteOffsets }
  }
}
