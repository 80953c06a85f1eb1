import JSON
import SystemIO
import TensorStream

/// A position of the text at which a feature or dimension counts much, as a line of what `grad-contexts` writes.
public struct Context: Equatable, Sendable {
  public let place: Place
  public let feature: Int
  public let rank: Int
  /// Of which quantity it is among the largest: `attribution`.
  public let by: String
  /// The part of the range that it was drawn from, where it is not one of the extremes.
  public let quantile: Int?
  public let sample: Int
  public let position: Int
  /// The text there, before it and behind it, token by token.
  public let token: String
  public let before: [String]
  public let after: [String]
  public let activation: Double?
  public let gradient: Double?
  public let attribution: Double?
  /// One a token before it, and behind it; empty where they are not known.
  public let activationsBefore: [Double?]
  public let activationsAfter: [Double?]
}

extension Context {
  /// - Throws: `Failure` of kind malformed that names the member.
  package init(_ line: JSON) throws(Failure) {
    guard line.members != nil else { throw Failure(.malformed, "expected an object of JSON, found another value") }
    guard let place = try line.text("place").flatMap({ Place($0) }) else {
      throw line.wrong("place", "a place such as mlp_out.3")
    }
    self.place = place
    feature = try line.count("feature")
    rank = try line.count("rank")
    by = try line.text("by") ?? "attribution"
    quantile = line["quantile"]?.int
    sample = try line.count("sample")
    position = try line.count("position")
    guard let token = line["token"]?.shown else { throw line.wrong("token", "a text or an id") }
    self.token = token
    before = try line.tokens("before")
    after = try line.tokens("after")
    activation = try line.number("activation")
    gradient = try line.number("gradient")
    attribution = try line.number("attribution")
    activationsBefore = try line.numbers("activations_before", as: before, "before")
    activationsAfter = try line.numbers("activations_after", as: after, "after")
  }

  /// As the page's script reads it, without what the page knows otherwise.
  var json: String {
    func list(_ values: [Double?]) -> String { JSON.array(values.map { $0.map { jsonNumber($0) } ?? "null" }) }
    var members = [
      ("rank", "\(rank)"), ("by", JSON.quote(by)), ("sample", "\(sample)"), ("position", "\(position)"),
      ("token", JSON.quote(token)), ("before", JSON.array(before.map { JSON.quote($0) })),
      ("after", JSON.array(after.map { JSON.quote($0) })),
    ]
    if let quantile { members.append(("quantile", "\(quantile)")) }
    for (key, value) in [("activation", activation), ("gradient", gradient), ("attribution", attribution)] {
      if let value { members.append((key, jsonNumber(value))) }
    }
    if !activationsBefore.isEmpty { members.append(("activations_before", list(activationsBefore))) }
    if !activationsAfter.isEmpty { members.append(("activations_after", list(activationsAfter))) }
    return JSON.object(members)
  }
}

extension JSON {
  fileprivate func wrong(_ key: String, _ expected: String) -> Failure {
    let found: String =
      switch self[key] {
      case nil: "nothing"
      case .string(let bytes): "\"\(printable(String(decoding: bytes.prefix(80), as: UTF8.self)))\""
      case .integer(let value): "\(value)"
      case .double(let value): "\(value)"
      case .null: "null"
      case .bool(let value): "\(value)"
      case .array(let elements): "an array of \(elements.count)"
      case .object: "an object"
      }
    return Failure(.malformed, "\(key): expected \(expected), found \(found)")
  }

  /// nil where there is none, or null.
  fileprivate func present(_ key: String) -> JSON? { self[key].flatMap { $0.isNull ? nil : $0 } }

  fileprivate func text(_ key: String) throws(Failure) -> String? {
    guard let value = present(key) else { return nil }
    guard let text = value.text else { throw wrong(key, "a text") }
    return text
  }

  fileprivate func count(_ key: String) throws(Failure) -> Int {
    guard let value = self[key]?.int, value >= 0 else { throw wrong(key, "a number of at least 0") }
    return value
  }

  fileprivate func number(_ key: String) throws(Failure) -> Double? {
    guard let value = present(key) else { return nil }
    guard let number = value.number else { throw wrong(key, "a number") }
    return number
  }

  /// A token's text; of one that is known by its id alone that, and of one that is not known at all an ellipsis.
  fileprivate var shown: String? {
    switch self {
    case .string: text
    case .integer(let id): " #\(id)"
    case .null: " …"
    default: nil
    }
  }

  fileprivate func tokens(_ key: String) throws(Failure) -> [String] {
    guard let value = present(key) else { return [] }
    guard let elements = value.elements, case let tokens = elements.compactMap(\.shown), tokens.count == elements.count
    else { throw wrong(key, "an array of texts or ids") }
    return tokens
  }

  /// - Parameter tokens: what the numbers belong to, the member of the name `others`.
  fileprivate func numbers(_ key: String, as tokens: [String], _ others: String) throws(Failure) -> [Double?] {
    guard let value = present(key) else { return [] }
    guard let elements = value.elements, elements.allSatisfy({ $0.isNull || $0.number != nil }) else {
      throw wrong(key, "an array of numbers")
    }
    guard elements.count == tokens.count else { throw wrong(key, "\(tokens.count) numbers as \(others) has tokens") }
    return elements.map(\.number)
  }
}
