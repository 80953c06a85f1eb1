import JSON
import SystemIO

/// What the files beside a vocabulary say of a tokenizer, as transformers 5 reads them
/// (`PreTrainedTokenizerBase._from_pretrained`, `TokenizersBackend.__init__`): `tokenizer_config.json`, of older saves
/// `special_tokens_map.json` and `added_tokens.json`, and of `config.json` what decides about the class.
struct TokenizerConfiguration {
  enum Side: String {
    case left, right
  }

  let tokenizerClass: TokenizerClass
  /// The class's own normalizer, pre-tokenizer, decoder and model settings, spelled as in tokenizer.json; nil where those
  /// of the file count.
  private(set) var pipeline: String?
  var truncationSide = Side.right
  var paddingSide = Side.right
  /// The path of `tokenizer_config.json`, for messages.
  let source: String
  var splitsSpecialTokens = false
  /// Whether a tokenizer without tokenizer.json begins and ends every text with BOS and EOS.
  var addsBOS = false
  var addsEOS = false
  /// Added tokens with the ids that their files give them, in the order of the ids.
  private(set) var declared: [AddedToken] = []
  /// Special tokens by their names, such as `bos_token`, in the order in which they are added.
  private var named: [(name: String, token: AddedToken)] = []
  private var extra: [AddedToken] = []

  /// - Parameters:
  ///   - folder: with a slash at its end.
  ///   - tokenizerJSON: the folder's `tokenizer.json`, where it has one.
  ///   - mentionsByteLevel: whether that names ByteLevel anywhere.
  init(folder: String, tokenizerJSON: JSON?, mentionsByteLevel: Bool = false) throws {
    source = folder + "tokenizer_config.json"
    let own = try optionalJSON(source) ?? .object([])
    tokenizerClass = try TokenizerClass.of(
      folder: folder, configuration: own, mentionsByteLevel: tokenizerJSON == nil ? nil : mentionsByteLevel)
    var entries = TokenizerEntries(own, of: source)
    try of(source) { [tokenizerClass] in try Self.refuse(entries, tokenizerClass) }
    entries.joinModelSpecificTokens()
    if let tokens = entries["added_tokens_decoder"] {
      declared = try of(source) { try Self.declaredTokens(tokens) }
    } else {
      declared = try entries.addOlderFiles(folder: folder, tokenizerJSON: tokenizerJSON)
    }
    // What is declared of a token counts where it is named, too; of several with one id the last is declared.
    let byContent = Dictionary(declared.map { ($0.content, $0) }) { $1 }
    declared = Dictionary(declared.map { ($0.id, $0) }) { $1 }.values.sorted { $0.id < $1.id }
    try readSpecialTokens(entries, byContent, tokenizerJSON)
    try readSettings(entries, tokenizerJSON)
  }

  func token(named name: String) -> [UInt8]? { named.first { $0.name == name }?.token.content }

  /// What is added to the tokens of tokenizer.json, or of the class where that reads its vocabulary only.
  func tokensToAdd(to present: AddedVocabulary) -> [AddedToken] {
    let known = Set(declared.map(\.content))
    let others = (named.map(\.token) + extra).filter {
      !known.contains($0.content) && present.id(of: $0.content) == nil
    }
    let names = Set(named.map(\.token.content))
    return (declared + others).map { token in
      var token = token
      if names.contains(token.content) { token.isSpecial = true }
      return token
    }
  }

  /// All special tokens as Qwen2Tokenizer adds them in the end, whatever else was said of them.
  var plainSpecialTokens: [AddedToken] { (named.map(\.token) + extra).map { .special($0.content) } }

  // MARK: Reading

  private static func declaredTokens(_ json: JSON) throws -> [AddedToken] {
    guard let members = json.members else {
      throw unexpected(json, at: "added_tokens_decoder", "an object of added tokens")
    }
    return try members.map { member in
      let id = Int(String(decoding: member.key, as: UTF8.self)).map { JSON.integer($0) }
      return try AddedToken(member.value, id: id)
    }
  }

  private mutating func readSpecialTokens(
    _ entries: TokenizerEntries, _ declared: [[UInt8]: AddedToken], _ tokenizerJSON: JSON?
  ) throws {
    for name in TokenizerEntries.names {
      guard let value = entries[name] else {
        if let content = tokenizerClass.specialTokens[name] {
          named.append((name, .special(Array(content.utf8))))
        } else if name == "pad_token", let content = tokenizerJSON?["padding"]?["pad_token"]?.utf8 {
          named.append((name, .special(content)))
        }
        continue
      }
      if let token = try entries.token(value, at: name) { named.append((name, declared[token.content] ?? token)) }
    }
    for (name, value) in entries.modelSpecificTokens {
      guard let token = try entries.token(value, at: name) else { continue }
      if let place = named.firstIndex(where: { $0.name == name }) {
        named[place].token = token
      } else {
        named.append((name, token))
      }
    }
    let list = entries.has("extra_special_tokens") ? "extra_special_tokens" : "additional_special_tokens"
    guard let value = entries[list], !value.isNull else { return }
    guard let elements = value.elements else {
      throw unexpected(value, at: list, "a list of tokens").at(entries.source(of: list))
    }
    extra = try elements.enumerated().compactMap { try entries.token($1, at: "\(list)[\($0)]", in: list) }
  }

  private mutating func readSettings(_ entries: TokenizerEntries, _ tokenizerJSON: JSON?) throws {
    func side(_ key: String, _ part: String, default missing: Side) throws -> Side {
      let value =
        entries[key] ?? tokenizerJSON?[part]?["direction"].map { .string(Array($0.text?.lowercased().utf8 ?? "".utf8)) }
      guard let value else { return missing }
      guard let side = value.text.flatMap(Side.init) else {
        throw unexpected(value, at: key, "\"left\" or \"right\"").at(entries.source(of: key))
      }
      return side
    }
    func optionalFlag(_ key: String) throws -> Bool? {
      guard let value = entries[key], !value.isNull else { return nil }
      guard let flag = value.boolean else {
        throw unexpected(value, at: key, "true or false").at(entries.source(of: key))
      }
      return flag
    }
    func flag(_ key: String) throws -> Bool { try optionalFlag(key) ?? false }
    truncationSide = try side("truncation_side", "truncation", default: .right)
    paddingSide = try side("padding_side", "padding", default: tokenizerClass.paddingSide)
    splitsSpecialTokens = try flag("split_special_tokens")
    if tokenizerClass != .plain {
      pipeline = tokenizerClass.pipeline(
        addsPrefixSpace: try optionalFlag("add_prefix_space"), isLegacy: try flag("legacy"),
        unknownToken: token(named: "unk_token"))
    }
    // A tokenizer.json says this by its post-processor alone.
    if tokenizerJSON == nil { (addsBOS, addsEOS) = (try flag("add_bos_token"), try flag("add_eos_token")) }
  }

  /// Refuses what would change the ids and is not done here.
  private static func refuse(_ entries: TokenizerEntries, _ tokenizerClass: TokenizerClass) throws {
    let isOff = { (value: JSON) in value.isNull || value.boolean == false }
    try expect(entries["fix_mistral_regex"], at: "fix_mistral_regex", "false", isOff)
    for key in ["vocab", "merges", "post_processor", "tokenizer_object", "tokenizer_truncation", "tokenizer_padding"] {
      try expect(entries[key], at: key, "none", \.isNull)
    }
    try expect(entries["init_inputs"], at: "init_inputs", "none") { $0.isNull || $0.elements == [] }
    try expect(entries["fast_tokenizer_files"], at: "fast_tokenizer_files", "[\"tokenizer.json\"] or none") { files in
      files.isNull || files.elements?.allSatisfy { $0.text == "tokenizer.json" } == true
    }
    if tokenizerClass != .qwen2 {
      try expect(entries["auto_map"]?["AutoTokenizer"], at: "auto_map.AutoTokenizer", "none", \.isNull)
    }
  }
}
