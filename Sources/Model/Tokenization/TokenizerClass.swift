import JSON
import SystemIO

/// Which of transformers' classes reads a tokenizer's folder (`AutoTokenizer.from_pretrained` of transformers 5).
///
/// `TokenizersBackend` takes all of `tokenizer.json`. The others take from it the vocabulary, the merges and the
/// post-processor, and have a pipeline and special tokens of their own.
enum TokenizerClass: String, CaseIterable {
  case plain = "TokenizersBackend"
  case qwen2 = "Qwen2Tokenizer"
  case llama = "LlamaTokenizer"
  case gemma = "GemmaTokenizer"
  case gpt2 = "GPT2Tokenizer"
  case gptNeoX = "GPTNeoXTokenizer"

  /// The class that transformers has for models of a type (`TOKENIZER_MAPPING_NAMES`); none for Llama's.
  private static let classes: [String: TokenizerClass?] = {
    let types: [(TokenizerClass?, [String])] = [
      (nil, ["llama"]), (.plain, ["ministral", "mistral", "mixtral"]),
      (.gemma, ["gemma", "gemma2", "gemma3", "gemma3_text"]), (.gpt2, ["gpt2"]), (.gptNeoX, ["gpt_neox"]),
      (
        .qwen2,
        [
          "qwen2", "qwen2_5_omni", "qwen2_5_vl", "qwen2_audio", "qwen2_moe", "qwen2_vl", "qwen3", "qwen3_asr",
          "qwen3_moe", "qwen3_next", "qwen3_omni_moe", "qwen3_vl", "qwen3_vl_moe",
        ]
      ),
    ]
    return Dictionary(uniqueKeysWithValues: types.flatMap { entry in entry.1.map { ($0, entry.0) } })
  }()

  /// - Parameter mentionsByteLevel: whether the folder has a `tokenizer.json` that names ByteLevel; nil where it has
  ///   none, but `vocab.json` and `merges.txt`.
  /// - Throws: `Failure` of kind malformed where it is another class, which would give other ids.
  static func of(folder: String, configuration: JSON, mentionsByteLevel: Bool?) throws -> TokenizerClass {
    let found = try named(folder: folder, configuration: configuration, mentionsByteLevel: mentionsByteLevel)
    guard mentionsByteLevel == nil, ![.qwen2, .gpt2, .gptNeoX].contains(found.class) else { return found.class }
    throw Failure(
      .malformed,
      "\(found.source): \(found.class.rawValue) reads this tokenizer: expected tokenizer.json in \(folder), found vocab.json and merges.txt"
    )
  }

  private static func named(
    folder: String, configuration: JSON, mentionsByteLevel: Bool?
  ) throws -> (class: TokenizerClass, source: String) {
    let configurationFile = folder + "tokenizer_config.json"
    let modelFile = folder + "config.json"
    let model = try optionalJSON(modelFile)
    // The class that transformers has for the model; of a folder without a model nobody knows.
    var ofModel: TokenizerClass?
    let modelType = model?["model_type"]?.text.flatMap { $0.isEmpty ? nil : $0 }
    if let modelType {
      // Folders of this model name wrong classes often, so transformers does not ask.
      if modelType == "qwen2" { return (.qwen2, modelFile) }
      guard let entry = classes[modelType] else {
        let known = classes.keys.sorted().map(JSON.quote).joined(separator: ", ")
        throw Failure(.malformed, "\(modelFile): model_type: expected one of \(known), found \(JSON.quote(modelType))")
      }
      ofModel = entry
    }
    let isNamedHere = configuration["tokenizer_class"].map { !$0.isNull } ?? false
    let source = isNamedHere ? configurationFile : modelFile
    guard let value = isNamedHere ? configuration["tokenizer_class"] : model?["tokenizer_class"], !value.isNull else {
      if modelType != nil { return (ofModel ?? .plain, modelFile) }
      return (mentionsByteLevel == nil ? .qwen2 : .plain, configurationFile)
    }
    let name = value.text ?? ""
    let root = name.hasSuffix("Fast") ? String(name.dropLast(4)) : name
    if root == "PreTrainedTokenizer" { return (.plain, source) }
    guard let named = TokenizerClass(rawValue: root) else {
      let known = (allCases.map(\.rawValue) + ["PreTrainedTokenizerFast"]).map(JSON.quote).joined(separator: ", ")
      throw unexpected(value, at: "tokenizer_class", "\(known) or none").at(source)
    }
    // Llama's class would take Llama 3's bytes for characters; where a model has no class of its own, no other may
    // have one.
    if named == .llama, mentionsByteLevel == true { return (.plain, source) }
    return (ofModel == .plain ? .plain : named, source)
  }

  /// The special tokens that it has where its files do not say.
  var specialTokens: [String: String] {
    switch self {
    case .plain: [:]
    case .qwen2: ["eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>", "pad_token": "<|endoftext|>"]
    case .llama: ["bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"]
    case .gemma:
      [
        "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>",
      ]
    case .gpt2: ["bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>"]
    case .gptNeoX:
      [
        "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "unk_token": "<|endoftext|>",
        "pad_token": "<|padding|>",
      ]
    }
  }

  /// The side on which its call pads where its files do not say.
  var paddingSide: TokenizerConfiguration.Side { [.llama, .gemma].contains(self) ? .left : .right }

  /// Its own normalizer, pre-tokenizer, decoder and model settings, spelled as in `tokenizer.json`; nil for the class
  /// that takes those of the file.
  ///
  /// - Parameters:
  ///   - addsPrefixSpace: `add_prefix_space` of `tokenizer_config.json`.
  ///   - isLegacy: `legacy`, likewise.
  func pipeline(addsPrefixSpace: Bool?, isLegacy: Bool, unknownToken: [UInt8]?) -> String? {
    let byteLevel = #"{"type":"ByteLevel","add_prefix_space":\#(addsPrefixSpace ?? false)}"#
    let decoder = #"{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"}"#
    switch self {
    case .plain: return nil
    case .qwen2:
      let expression = JSON.quote(WordSplitter.qwen2Expression)
      return """
        {"normalizer":{"type":"NFC"},"pre_tokenizer":{"type":"Sequence","pretokenizers":[\
        {"type":"Split","pattern":{"Regex":\(expression)},"behavior":"Isolated","invert":false},\
        {"type":"ByteLevel","add_prefix_space":\(addsPrefixSpace ?? false),"use_regex":false}]},\
        "decoder":{"type":"ByteLevel"},"model":{}}
        """
    case .llama:
      let addsSpace = addsPrefixSpace ?? true
      let scheme = !addsSpace ? "never" : isLegacy ? "always" : "first"
      let strip = addsSpace ? #",{"type":"Strip","content":" ","start":1,"stop":0}"# : ""
      return """
        {"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"\(scheme)","split":false},\
        "decoder":{"type":"Sequence","decoders":[\(decoder)\(strip)]},"model":{"fuse_unk":true,"byte_fallback":true}}
        """
    case .gemma:
      let unknown = unknownToken.map { JSON.quote(String(decoding: $0, as: UTF8.self)) } ?? "null"
      return """
        {"normalizer":{"type":"Replace","pattern":{"String":" "},"content":"▁"},"pre_tokenizer":{"type":"Split",\
        "pattern":{"String":" "},"behavior":"MergedWithPrevious","invert":false},\
        "decoder":{"type":"Sequence","decoders":[\(decoder)]},\
        "model":{"unk_token":\(unknown),"fuse_unk":true,"byte_fallback":true}}
        """
    case .gpt2: return #"{"pre_tokenizer":\#(byteLevel),"decoder":{"type":"ByteLevel"},"model":{}}"#
    case .gptNeoX:
      return
        #"{"normalizer":{"type":"NFC"},"pre_tokenizer":\#(byteLevel),"decoder":{"type":"ByteLevel"},"model":{}}"#
    }
  }
}
