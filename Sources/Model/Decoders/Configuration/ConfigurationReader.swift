import JSON
import SystemIO

/// The entries of a config.json, which notes the ones that were asked for: what nobody asks for may still change the
/// computation.
final class ConfigurationReader {
  private let object: JSON
  /// Before the entry's name in messages: "rope_parameters." of what lies in that object.
  private let prefix: String
  private var asked: Set<String> = []

  init(_ object: JSON, prefix: String = "") {
    self.object = object
    self.prefix = prefix
  }

  /// The reader of an object that lies in this one, under `name`.
  func reader(of object: JSON, at name: String) -> ConfigurationReader {
    ConfigurationReader(object, prefix: "\(prefix)\(name).")
  }

  /// The value of an entry; nil where the entry is missing, `.null` where it says so.
  func value(_ entry: String) -> JSON? {
    asked.insert(entry)
    return object[entry]
  }

  /// A whole number, also one that was written as 64.0. Sizes beyond 2²⁴ are no model's, and products of them would overflow.
  func size(_ entry: String, default: Int, from least: Int = 1, atMost limit: Int = 1 << 24) throws(Failure) -> Int {
    guard let value = value(entry) else { return `default` }
    guard let number = value.int ?? value.number.flatMap(Int.init(exactly:)), (least...limit).contains(number) else {
      throw unsupported(entry, "a whole number from \(least) to \(limit)")
    }
    return number
  }

  /// A finite number above 0.
  func positive(_ entry: String, default: Double) throws(Failure) -> Double {
    guard let value = value(entry) else { return `default` }
    guard let number = value.number, number > 0, number.isFinite else { throw unsupported(entry, "a positive number") }
    return number
  }

  func boolean(_ entry: String, default: Bool) throws(Failure) -> Bool {
    guard let value = value(entry) else { return `default` }
    guard let boolean = value.boolean else { throw unsupported(entry, "true or false") }
    return boolean
  }

  /// A finite number above 0; nil where the entry says null.
  func positiveOrNull(_ entry: String, default: Double?) throws(Failure) -> Double? {
    guard let value = value(entry) else { return `default` }
    return value.isNull ? nil : try positive(entry, default: 0)
  }

  /// Refuses an entry that is there and neither null nor that number: transformers' code of the family reads another
  /// entry, which says the number.
  func require(_ entry: String, toBe number: Double) throws(Failure) {
    guard let value = value(entry), !value.isNull, value.number != number else { return }
    throw unsupported(entry, number == number.rounded() ? "\(Int(number))" : "\(number)")
  }

  /// Refuses an entry that is there and neither null nor that word.
  func require(_ entry: String, toBe word: String, _ remark: String = "") throws(Failure) {
    guard let value = value(entry), !value.isNull, value.text != word else { return }
    throw unsupported(entry, JSON.quote(word), remark)
  }

  /// Refuses an entry that says true, or anything else but false and null.
  func refuseIfTrue(_ entry: String, _ remark: String = "") throws(Failure) {
    guard let value = value(entry), !value.isNull, value.boolean != false else { return }
    throw unsupported(entry, "false", remark)
  }

  /// Refuses an entry that is there and not null.
  func refuse(_ entry: String, _ remark: String = "") throws(Failure) {
    guard let value = value(entry), !value.isNull else { return }
    throw unsupported(entry, "null", remark)
  }

  /// `config.json: ENTRY: expected …, found …`, the found value as the file has it.
  func unsupported(_ entry: String, _ expected: String, _ remark: String = "") -> Failure {
    Failure(.malformed, "config.json: \(prefix)\(entry): expected \(expected), found \(shown(entry))\(remark)")
  }

  private func shown(_ entry: String) -> String {
    switch object[entry] {
    case nil: "none"
    case .null: "null"
    case .bool(let value): "\(value)"
    case .integer(let value): "\(value)"
    case .double(let value): "\(value)"
    case .string(let bytes): JSON.quote(String(decoding: bytes.prefix(80), as: UTF8.self))
    case .array: "an array"
    case .object: "an object"
    }
  }

  /// Refuses the first entry, by name, that was not asked for, is not null and is not among `withoutEffect`.
  func checkNothingIsLeft(withoutEffect: Set<String>) throws(Failure) {
    let left = (object.members ?? []).filter { !$0.value.isNull }.map { String(decoding: $0.key, as: UTF8.self) }
      .filter { !asked.contains($0) && !withoutEffect.contains($0) }
    guard let entry = left.min() else { return }
    throw unsupported(
      entry, "no such entry", ": it may change what is computed; without it, the file would be read")
  }
}
