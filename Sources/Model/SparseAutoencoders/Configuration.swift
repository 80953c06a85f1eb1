import JSON
import SystemIO

/// The configuration beside an autoencoder's tensors, or an object within it. An entry that is there is of the type
/// that its reader asks for, or refused by name: a flag in quotes is not the absence of a flag.
struct Configuration {
  private let path: String
  /// The keys that lead to this object.
  private let place: [String]
  private let json: JSON

  /// The longest that is read, in bytes: far above what any library writes.
  private static let maximumSize = 16 << 20

  /// - Throws: `Failure` that begins with the path where it is no JSON object, or no regular file.
  init(path: String) throws {
    let file = try MappedFile(path: path)
    guard file.bytes.count <= Self.maximumSize else {
      throw Failure(
        .malformed, "\(path): expected a configuration of at most \(Self.maximumSize) bytes, found \(file.bytes.count)")
    }
    do { json = try JSON(file: file.bytes, allowsNonfinite: true) } catch { throw error.at(path) }
    guard json.members != nil else { throw Failure(.malformed, "\(path): expected an object, found \(shown(json))") }
    self.path = path
    place = []
  }

  private init(_ object: JSON, in outer: Configuration, _ key: String) {
    path = outer.path
    place = outer.place + [key]
    json = object
  }

  /// The names of its entries.
  var keys: [String] { (json.members ?? []).map { String(decoding: $0.key, as: UTF8.self) } }

  /// Whether there is an entry of that name, null included.
  func has(_ key: String) -> Bool { json[key] != nil }

  func flag(_ key: String) throws(Failure) -> Bool? {
    guard let value = present(key) else { return nil }
    guard let flag = value.boolean else { throw wrong(key, "expected true or false, found \(shown(value))") }
    return flag
  }

  /// A whole number; 16.0 is one.
  func whole(_ key: String) throws(Failure) -> Int? {
    guard let value = present(key) else { return nil }
    guard let number = value.int ?? value.number.flatMap(Int.init(exactly:)) else {
      throw wrong(key, "expected a whole number, found \(shown(value))")
    }
    return number
  }

  func text(_ key: String) throws(Failure) -> String? {
    guard let value = present(key) else { return nil }
    guard let text = value.text else { throw wrong(key, "expected a string, found \(shown(value))") }
    return text
  }

  func object(_ key: String) throws(Failure) -> Configuration? {
    guard let value = present(key) else { return nil }
    guard value.members != nil else { throw wrong(key, "expected an object, found \(shown(value))") }
    return Configuration(value, in: self, key)
  }

  /// The value of an entry that only describes, which may be of any type: nil where it is not a string.
  func description(_ key: String) -> String? { json[key]?.text }

  /// A layer's number where it is one, also in quotes, which says where the autoencoder is from and changes nothing.
  func layerNumber(_ key: String) -> Int? { json[key]?.int ?? json[key]?.text.flatMap { Int($0) } }

  /// An entry that may be of several types.
  subscript(_ key: String) -> JSON? { present(key) }

  /// Refuses a size that is not the tensors'.
  func check(_ key: String, equals found: Int) throws(Failure) {
    guard let stated = try whole(key), stated != found else { return }
    throw wrong(key, "expected \(found), as the tensors have, found \(stated)")
  }

  func wrong(_ key: String, _ message: String) -> Failure {
    Failure(.malformed, "\(path): \((place + [key]).joined(separator: ".")): \(message)")
  }

  /// Python's None is as good as no entry.
  private func present(_ key: String) -> JSON? { json[key].flatMap { $0.isNull ? nil : $0 } }
}

/// A value as a message shows it.
func shown(_ value: JSON) -> String {
  switch value {
  case .null: "null"
  case .bool(let flag): "\(flag)"
  case .integer(let number): "\(number)"
  case .double(let number): "\(number)"
  case .string: JSON.quote(String((value.text ?? "").prefix(64)))
  case .array: "a list"
  case .object: "an object"
  }
}
