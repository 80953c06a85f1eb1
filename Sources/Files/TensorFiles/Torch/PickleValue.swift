/// What a restricted pickle can hold: plain data and tensors. Nothing in it can act.
public indirect enum PickleValue: Sendable {
  case none
  case bool(Bool)
  case integer(Int)
  case double(Double)
  case string(String)
  case list([PickleValue])
  case tuple([PickleValue])
  /// A dict, an OrderedDict or a Counter.
  case dictionary([Entry])
  case tensor(StoredTensor)
  /// A tensor whose elements are of a type that nothing here computes with, by torch's name of the type: `complex64`.
  case otherTensor(String)
  /// A dtype, a device, a set, bytes and the like, in words: no reader has a use for what they hold.
  case token(String)

  public enum Key: Hashable, Sendable, CustomStringConvertible {
    case string(String)
    case integer(Int)

    public var description: String {
      switch self {
      case .string(let text): text
      case .integer(let value): "\(value)"
      }
    }
  }

  public struct Entry: Sendable {
    public let key: Key
    public let value: PickleValue
  }

  /// The value under that key of a dictionary; nil where there is none, or where this is no dictionary.
  public subscript(_ key: String) -> PickleValue? {
    entries?.first { $0.key == .string(key) }?.value
  }

  /// In the order of the file.
  public var entries: [Entry]? {
    if case .dictionary(let entries) = self { entries } else { nil }
  }

  public var tensor: StoredTensor? {
    if case .tensor(let tensor) = self { tensor } else { nil }
  }

  public var text: String? {
    if case .string(let text) = self { text } else { nil }
  }

  public var integer: Int? {
    if case .integer(let value) = self { value } else { nil }
  }

  public var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .double(let value): value
    default: nil
    }
  }

  /// In words, for messages.
  public var kind: String {
    switch self {
    case .none: "None"
    case .bool: "a bool"
    case .integer: "an int"
    case .double: "a float"
    case .string: "a string"
    case .list: "a list"
    case .tuple: "a tuple"
    case .dictionary: "a dict"
    case .tensor: "a tensor"
    case .otherTensor(let type): "a tensor of \(type)"
    case .token(let name): name
    }
  }
}
