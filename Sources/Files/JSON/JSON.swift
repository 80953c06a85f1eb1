/// A JSON document as it stands in the file.
///
/// Strings are their UTF-8 bytes: Swift's `String` compares by canonical equivalence, which would make one key of
/// "é" and "e" + combining acute, two different tokens of a vocabulary.
public indirect enum JSON: Equatable, Sendable {
  case null
  case bool(Bool)
  case integer(Int)
  /// A number with a fraction or an exponent, or beyond `Int`; NaN and the infinities where they were asked for.
  case double(Double)
  case string([UInt8])
  case array([JSON])
  case object([Member])

  public struct Member: Equatable, Sendable {
    public let key: [UInt8]
    public let value: JSON

    public init(key: [UInt8], value: JSON) {
      self.key = key
      self.value = value
    }
  }

  /// The member of that name of an object; nil where there is none, or where this is no object.
  public subscript(_ key: String) -> JSON? {
    guard case .object(let members) = self else { return nil }
    return members.first { $0.key.elementsEqual(key.utf8) }?.value
  }

  public var members: [Member]? {
    if case .object(let members) = self { members } else { nil }
  }

  public var elements: [JSON]? {
    if case .array(let elements) = self { elements } else { nil }
  }

  public var utf8: [UInt8]? {
    if case .string(let bytes) = self { bytes } else { nil }
  }

  public var text: String? {
    utf8.map { String(decoding: $0, as: UTF8.self) }
  }

  public var int: Int? {
    if case .integer(let value) = self { value } else { nil }
  }

  public var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  public var boolean: Bool? {
    if case .bool(let value) = self { value } else { nil }
  }

  public var isNull: Bool { self == .null }
}
