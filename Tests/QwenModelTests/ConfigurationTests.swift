import JSON
import QwenModel
import SystemIO
import TensorOperations
import Testing

@Suite struct ConfigurationTests {
  /// Qwen2.5-0.5B as its repository has it, which transformers 4 wrote.
  static let published: [String: String] = [
    "architectures": "[\"Qwen2ForCausalLM\"]", "attention_dropout": "0.0", "hidden_act": "\"silu\"",
    "hidden_size": "896", "initializer_range": "0.02", "intermediate_size": "4864",
    "max_position_embeddings": "32768", "max_window_layers": "24", "model_type": "\"qwen2\"",
    "num_attention_heads": "14", "num_hidden_layers": "24", "num_key_value_heads": "2", "rms_norm_eps": "1e-06",
    "rope_theta": "1000000.0", "sliding_window": "32768", "tie_word_embeddings": "true", "torch_dtype": "\"bfloat16\"",
    "transformers_version": "\"4.40.1\"", "use_cache": "true", "use_mrope": "false", "use_sliding_window": "false",
    "vocab_size": "151936",
  ]

  /// The same model after transformers 5 has saved it.
  static let resaved: [String: String] = {
    var entries = published
    for entry in ["rope_theta", "torch_dtype"] { entries[entry] = nil }
    entries["rope_parameters"] = "{\"rope_theta\": 1000000.0, \"rope_type\": \"default\"}"
    entries["dtype"] = "\"bfloat16\""
    entries["layer_types"] = "[\"full_attention\", \"full_attention\"]"
    entries["sliding_window"] = "null"
    return entries
  }()

  static func read(_ entries: [String: String]) throws -> QwenConfiguration {
    let text =
      "{" + entries.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ",") + "}"
    return try QwenConfiguration(JSON(parsing: Array(text.utf8)))
  }

  @Test func readsBothSpellings() throws {
    let configuration = try Self.read(Self.published)
    #expect(configuration.hiddenSize == 896 && configuration.intermediateSize == 4864)
    #expect(configuration.layerCount == 24 && configuration.vocabularySize == 151_936)
    #expect(configuration.attention == AttentionShape(heads: 14, keyValueHeads: 2, headWidth: 64))
    #expect(configuration.rmsNormEpsilon == 1e-6 && configuration.ropeTheta == 1e6)
    #expect(configuration.tiesWordEmbeddings)
    #expect(try Self.read(Self.resaved) == configuration)
  }

  /// What transformers takes an entry to be that is not there.
  @Test func defaults() throws {
    var entries = Self.published
    for entry in ["rope_theta", "tie_word_embeddings", "hidden_act", "rms_norm_eps", "use_sliding_window"] {
      entries[entry] = nil
    }
    let configuration = try Self.read(entries)
    #expect(configuration.ropeTheta == 10_000 && configuration.rmsNormEpsilon == 1e-6)
    #expect(!configuration.tiesWordEmbeddings)
    entries["head_dim"] = "128"
    #expect(try Self.read(entries).attention.headWidth == 128)
    entries["head_dim"] = "null"
    #expect(try Self.read(entries).attention.headWidth == 64)
    entries["num_key_value_heads"] = "null"
    #expect(try Self.read(entries).attention.keyValueHeads == 14)
    entries["rope_scaling"] = "null"
    #expect(throws: Never.self) { try Self.read(entries) }
    entries["rope_scaling"] = "{\"rope_type\": \"default\"}"
    #expect(throws: Never.self) { try Self.read(entries) }
  }

  /// Each of these is another computation than ours, or none: refused, with the entry's name and what it was.
  @Test(arguments: [
    ("model_type", "\"llama\"", "llama"), ("model_type", "\"qwen2_moe\"", "qwen2_moe"),
    ("model_type", "\"qwen3\"", "qwen3"), ("model_type", "7", "(none)"), ("hidden_act", "\"gelu\"", "gelu"),
    ("use_sliding_window", "true", "true"),
    ("layer_types", "[\"full_attention\", \"sliding_attention\"]", "sliding_attention"),
    ("rope_scaling", "{\"type\": \"yarn\", \"factor\": 4.0}", "yarn"),
    ("rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 2.0}", "linear"),
    ("rope_scaling", "{\"factor\": 2.0}", "(unnamed)"),
    ("rope_parameters", "{\"rope_type\": \"dynamic\", \"rope_theta\": 1e6}", "dynamic"),
    ("partial_rotary_factor", "0.5", "0.5"), ("head_dim", "63", "63"), ("head_dim", "0", "0"),
    ("num_attention_heads", "12", "12"), ("num_attention_heads", "0", "0"), ("num_key_value_heads", "3", "3"),
    ("hidden_size", "-896", "-896"), ("hidden_size", "896.5", "896.5"), ("hidden_size", "\"896\"", "\"896\""),
    ("hidden_size", "[896]", "an array"),
    ("hidden_size", "17000000", "17000000"), ("intermediate_size", "0", "0"), ("vocab_size", "0", "0"),
    ("num_hidden_layers", "0", "0"), ("num_hidden_layers", "10001", "10001"), ("rms_norm_eps", "-1e-6", "-1e-06"),
    ("rms_norm_eps", "0", "0"), ("rope_theta", "0", "0"), ("rope_theta", "\"1e6\"", "\"1e6\""),
  ])
  func refuses(entry: String, value: String, found: String) {
    var entries = Self.published
    entries[entry] = value
    let failure = #expect(throws: Failure.self) { try Self.read(entries) }
    #expect(failure?.kind == .malformed)
    #expect(failure?.description.contains(entry) == true, "\(failure?.description ?? "")")
    #expect(failure?.description.contains("found \(found)") == true, "\(failure?.description ?? "")")
  }

  @Test(arguments: [
    "model_type", "hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size", "num_attention_heads",
  ])
  func refusesAMissing(entry: String) {
    var entries = Self.published
    entries[entry] = nil
    let failure = #expect(throws: Failure.self) { try Self.read(entries) }
    #expect(failure?.description.contains("\(entry): expected") == true, "\(failure?.description ?? "")")
  }
}
