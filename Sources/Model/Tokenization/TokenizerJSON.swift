import JSON
import SystemIO

// How the files of a tokenizer are read and what is said of what is wrong in them.

/// Says of `source` what is wrong in `body`.
func of<Result>(_ source: String, _ body: () throws -> Result) throws -> Result {
  do { return try body() } catch let failure as Failure { throw failure.at(source) }
}

/// Maps the file at `path` for `body`, and says of the file what is wrong in there.
func reading<Result>(_ path: String, _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
  let file = try MappedFile(path: path)
  return try withExtendedLifetime(file) { try of(path) { try body(file.bytes) } }
}

/// A file of a JSON object that need not be there.
func optionalJSON(_ path: String) throws -> JSON? {
  guard nameExists(path) else { return nil }
  return try reading(path) { bytes in
    let json = try JSON(file: bytes, allowsNonfinite: true)
    guard json.members != nil else {
      throw Failure(.malformed, "expected a JSON object, found \(kind(of: json))")
    }
    return json
  }
}

/// Checks one field; one that is missing counts as null.
func expect(_ value: JSON?, at place: String, _ expected: String, _ isRight: (JSON) -> Bool) throws {
  guard isRight(value ?? .null) else { throw unexpected(value, at: place, expected) }
}

func unexpected(_ value: JSON?, at place: String, _ expected: String) -> Failure {
  Failure(.malformed, "\(place): expected \(expected), found \(kind(of: value ?? .null))")
}

/// A short value itself, a long one by what it is.
private func kind(of json: JSON) -> String {
  switch json {
  case .null: "none"
  case .bool(let value): String(value)
  case .integer(let value): String(value)
  case .double(let value): String(value)
  case .string(let text): quoted(text)
  case .array(let elements):
    elements.count <= 4 ? "[\(elements.map(kind).joined(separator: ", "))]" : "an array of \(elements.count)"
  case .object(let members):
    members.count == 1 ? "{\(quoted(members[0].key)): \(kind(of: members[0].value))}" : "an object"
  }
}

extension AddedToken {
  /// - Parameter json: an added token as `tokenizer.json` and `tokenizer_config.json` have it, its id apart.
  init(_ json: JSON) throws {
    guard let content = json["content"]?.utf8 else { throw Failure(.malformed, "added token without content") }
    func flag(_ key: String) throws -> Bool? {
      guard let value = json[key], !value.isNull else { return nil }
      guard let flag = value.boolean else {
        throw unexpected(value, at: "added token \(quoted(content)): \(key)", "true or false")
      }
      return flag
    }
    self.init(
      content: content, isSingleWord: try flag("single_word") ?? false, stripsLeft: try flag("lstrip") ?? false,
      stripsRight: try flag("rstrip") ?? false, normalized: try flag("normalized"),
      isSpecial: try flag("special") ?? false)
  }

  /// The same with the id that its file gives it, which stands in the token itself or is its key.
  init(_ json: JSON, id: JSON?) throws {
    try self.init(json)
    guard let id = id?.int.flatMap({ Int32(exactly: $0) }), id >= 0 else {
      throw Failure(.malformed, "added token \(quoted(content)): expected an id from 0 to \(Int32.max)")
    }
    self.id = id
  }
}
