import JSON
import SystemIO

/// The entries of `tokenizer_config.json`, and of the files that older versions of transformers wrote beside it, as
/// transformers 5 puts them together.
struct TokenizerEntries {
  private var all: [(key: String, value: JSON, source: String)]

  /// The special tokens that every tokenizer may have, in the order in which they are added.
  static let names = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"]

  init(_ json: JSON, of source: String) {
    all = (json.members ?? []).map { (String(decoding: $0.key, as: UTF8.self), $0.value, source) }
  }

  subscript(key: String) -> JSON? { all.first { $0.key == key }?.value }

  func has(_ key: String) -> Bool { self[key] != nil }

  /// The file that an entry comes from.
  func source(of key: String) -> String {
    all.first { $0.key == key }?.source ?? all.first?.source ?? "tokenizer_config.json"
  }

  private mutating func set(_ key: String, _ value: JSON, _ source: String) {
    guard let place = all.firstIndex(where: { $0.key == key }) else {
      all.append((key, value, source))
      return
    }
    all[place] = (key, value, source)
  }

  private mutating func remove(_ key: String) { all.removeAll { $0.key == key } }

  /// Lists of special tokens under their old name; and tokens with names of their own, such as `image_token`.
  mutating func joinModelSpecificTokens() {
    if let list = self["additional_special_tokens"], self["extra_special_tokens"].map(Self.isEmpty) ?? true {
      set("extra_special_tokens", list, source(of: "additional_special_tokens"))
      remove("additional_special_tokens")
    }
    let single = all.filter { $0.value.utf8 != nil && Self.isModelSpecific($0.key) }
    let named = single.map { JSON.Member(key: Array($0.key.utf8), value: $0.value) } + takeNamedExtraTokens()
    for entry in single { remove(entry.key) }
    if !named.isEmpty { set(Self.modelSpecific, .object(named), source(of: Self.modelSpecific)) }
  }

  private static let modelSpecific = "model_specific_special_tokens"

  private static func isModelSpecific(_ key: String) -> Bool { key.hasSuffix("_token") && !names.contains(key) }

  /// What `extra_special_tokens` holds where it is an object, which is no list of extra tokens then.
  private mutating func takeNamedExtraTokens() -> [JSON.Member] {
    guard let members = self["extra_special_tokens"]?.members else { return [] }
    remove("extra_special_tokens")
    return members
  }

  private static func isEmpty(_ json: JSON) -> Bool {
    json.isNull || json.elements == [] || json.members == []
  }

  /// Tokens by names that are not among `names`, first those that still stand by themselves.
  var modelSpecificTokens: [(String, JSON)] {
    let single = all.filter { entry in
      Self.isModelSpecific(entry.key) && (entry.value.utf8 != nil || Self.isAddedToken(entry.value))
    }
    let joined = self[Self.modelSpecific]?.members ?? []
    return single.map { ($0.key, $0.value) } + joined.map { (String(decoding: $0.key, as: UTF8.self), $0.value) }
  }

  private static func isAddedToken(_ json: JSON) -> Bool { json["__type"]?.text == "AddedToken" }

  /// The special token that an entry names; nil for null.
  ///
  /// - Parameter list: the entry whose element this is.
  func token(_ value: JSON, at place: String, in list: String? = nil) throws -> AddedToken? {
    if value.isNull, list == nil { return nil }
    if let content = value.utf8 { return .special(content) }
    return try of(source(of: list ?? place)) {
      guard Self.isAddedToken(value) else {
        throw unexpected(value, at: place, "a string or {\"__type\": \"AddedToken\", …}")
      }
      return try AddedToken(value)
    }
  }

  // MARK: Older files

  /// Takes in `special_tokens_map.json`, and returns the added tokens of `added_tokens.json` and of `tokenizer.json`.
  mutating func addOlderFiles(folder: String, tokenizerJSON: JSON?) throws -> [AddedToken] {
    let map = folder + "special_tokens_map.json"
    for member in try optionalJSON(map)?.members ?? [] {
      let key = String(decoding: member.key, as: UTF8.self)
      var value = member.value
      if key == "extra_special_tokens", let list = value.elements {
        value = .array((self[key]?.elements ?? []) + list.map(Self.markedSpecial))
      } else if key != "extra_special_tokens" {
        value = Self.markedSpecial(value)
      }
      set(key, value, map)
    }
    let named = takeNamedExtraTokens()
    if !named.isEmpty { set(Self.modelSpecific, .object((self[Self.modelSpecific]?.members ?? []) + named), map) }
    var tokens = try addedTokens(folder + "added_tokens.json", map)
    for element in tokenizerJSON?["added_tokens"]?.elements ?? [] {
      tokens.append(try of(folder + "tokenizer.json") { try AddedToken(element, id: element["id"]) })
    }
    return tokens
  }

  /// An object as an added token that is special.
  private static func markedSpecial(_ json: JSON) -> JSON {
    guard let members = json.members else { return json }
    func text(_ text: String) -> [UInt8] { Array(text.utf8) }
    return .object(
      members.filter { ![text("special"), text("__type")].contains($0.key) } + [
        .init(key: text("special"), value: .bool(true)), .init(key: text("__type"), value: .string(text("AddedToken"))),
      ])
  }

  /// - Parameters:
  ///   - path: `added_tokens.json`, the ids of added tokens by their contents.
  ///   - map: the path of `special_tokens_map.json`.
  private func addedTokens(_ path: String, _ map: String) throws -> [AddedToken] {
    guard let json = try optionalJSON(path) else { return [] }
    // Transformers compares with what is a string, or was made a token of when special_tokens_map.json was read.
    let tokens = (Self.names + ["extra_special_tokens"]).flatMap { key in
      (self[key]?.elements ?? [self[key] ?? .null]).map { ($0, source(of: key) == map) }
    }
    let special = tokens.compactMap { $0.utf8 ?? ($1 ? $0["content"]?.utf8 : nil) }
    return try of(path) {
      guard let members = json.members else { throw unexpected(json, at: "added tokens", "an object of ids") }
      return try members.map { member in
        guard let id = member.value.int.flatMap({ Int32(exactly: $0) }), id >= 0 else {
          throw unexpected(member.value, at: "added token \(quoted(member.key))", "an id from 0 to \(Int32.max)")
        }
        let isSpecial = special.contains(member.key)
        return AddedToken(id: id, content: member.key, normalized: !isSpecial, isSpecial: isSpecial)
      }
    }
  }
}
