import Decoders
import Foundation
import JSON
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
    entries["layer_types"] = "[\(Array(repeating: "\"full_attention\"", count: 24).joined(separator: ", "))]"
    entries["sliding_window"] = "null"
    return entries
  }()

  static func read(_ entries: [String: String]) throws -> DecoderDescription {
    let text =
      "{" + entries.sorted { $0.key < $1.key }.map { "\"\($0.key)\": \($0.value)" }.joined(separator: ",") + "}"
    return try DecoderDescription(JSON(parsing: Array(text.utf8), allowsNonfinite: true))
  }

  @Test func readsBothSpellings() throws {
    let configuration = try Self.read(Self.published)
    #expect(configuration.width == 896 && configuration.mlp == .gated(width: 4864, .silu))
    #expect(configuration.layerCount == 24 && configuration.vocabularySize == 151_936)
    #expect(configuration.attention == AttentionShape(heads: 14, keyValueHeads: 2, headWidth: 64))
    #expect(configuration.norm == .rms(epsilon: 1e-6, offset: 0) && abs(configuration.rotaryBase(0) - 1e6) < 10)
    #expect(configuration.tiesHead)
    #expect(try Self.read(Self.resaved) == configuration)
  }

  /// What transformers takes an entry to be that is not there: the defaults of its Qwen2Config.
  @Test func defaults() throws {
    let configuration = try Self.read(["model_type": "\"qwen2\""])
    #expect(configuration.width == 4096 && configuration.mlp == .gated(width: 22_016, .silu))
    #expect(configuration.layerCount == 32 && configuration.vocabularySize == 151_936)
    #expect(configuration.attention == AttentionShape(heads: 32, keyValueHeads: 32, headWidth: 128))
    #expect(abs(configuration.rotaryBase(0) - 10_000) < 0.1 && configuration.norm == .rms(epsilon: 1e-6, offset: 0))
    #expect(!configuration.tiesHead && configuration.warnings.isEmpty)
  }

  /// Another spelling of the published model: the same computation.
  @Test(arguments: [
    ("hidden_act", "\"swish\""), ("hidden_size", "896.0"), ("head_dim", "64"), ("head_dim", "null"),
    ("rope_scaling", "null"), ("rope_scaling", "{}"), ("rope_scaling", "false"), ("rope_scaling", "[]"),
    ("rope_scaling", "{\"type\": \"default\"}"), ("rope_scaling", "{\"rope_type\": \"default\"}"),
    ("rope_scaling", "{\"factor\": 2.0}"), ("rope_scaling", "{\"type\": \"linear\", \"rope_type\": \"default\"}"),
    ("rope_scaling", "{\"rope_theta\": 1e6}"), ("rope_parameters", "null"), ("rope_parameters", "{}"),
    ("rope_parameters", "{\"rope_type\": \"default\"}"), ("partial_rotary_factor", "0.5"),
    ("layer_types", "null"),
    ("layer_types", "[\(Array(repeating: "\"attention\"", count: 24).joined(separator: ","))]"),
    ("sliding_window", "null"), ("sliding_window", "4"), ("max_window_layers", "0"), ("is_causal", "true"),
    ("is_causal", "null"), ("quantization_config", "null"), ("pruned_heads", "{}"), ("attention_bias", "false"),
    ("initializer_range", "NaN"), ("attention_dropout", "Infinity"), ("temperature", "-Infinity"),
    ("unheard_of", "null"),
    ("_attn_implementation_autoset", "true"), ("unsloth_fixed", "true"), ("id2label", "{\"0\": \"a\"}"),
    ("auto_map", "{\"AutoTokenizer\": [\"a.B\", null]}"),
  ])
  func readsAs(entry: String, value: String) throws {
    var entries = Self.published
    entries[entry] = value
    #expect(try Self.read(entries) == Self.read(Self.published))
  }

  /// Where the base of the angles comes from: `rope_scaling` before `rope_parameters` before the top level.
  @Test(
    arguments: [
      (nil, nil, nil, 10_000), ("7.0", nil, nil, 7), (nil, "{\"rope_theta\": 8}", nil, 8),
      (nil, nil, "{\"rope_theta\": 9}", 9), ("7.0", "{\"rope_theta\": 8}", nil, 8), ("7.0", "{}", nil, 7),
      ("7.0", "{\"rope_theta\": 8}", "{\"rope_theta\": 9}", 9), ("7.0", "{\"rope_theta\": 8}", "{}", 8),
      ("7.0", "{\"rope_theta\": 8}", "{\"type\": \"default\"}", 7), ("\"x\"", "{\"rope_theta\": 8}", nil, 8),
      (nil, "{\"rope_theta\": 8}", "{\"type\": \"default\"}", 10_000),
    ] as [(String?, String?, String?, Double)])
  func ropeTheta(top: String?, parameters: String?, scaling: String?, expected: Double) throws {
    var entries = Self.published
    (entries["rope_theta"], entries["rope_parameters"], entries["rope_scaling"]) = (top, parameters, scaling)
    #expect(try abs(Self.read(entries).rotaryBase(0) / expected - 1) < 1e-5)
  }

  /// A window that begins behind the last layer, or that has no size, is no window.
  @Test(
    arguments: [
      ("24", "32768", 24), ("28", "32768", 24), (nil, "32768", 24), ("0", "null", 24), ("23", "32768", 23),
      ("0", "4", 0), ("21", nil, 21),
    ] as [(String?, String?, Int)])
  func windows(firstLayer: String?, size: String?, first: Int) throws {
    var entries = Self.published
    (entries["use_sliding_window"], entries["max_window_layers"], entries["sliding_window"]) = (
      "true", firstLayer, size
    )
    let window = size.flatMap { Int($0) } ?? 4096
    #expect(try Self.read(entries).attentions.map(\.shape.window) == (0..<24).map { $0 < first ? nil : window })
    entries["layer_types"] = Self.resaved["layer_types"]
    #expect(try Self.read(entries) == Self.read(Self.published))
  }

  /// Each of these is another computation than ours, or none: refused, with the entry's name and what it was.
  @Test(arguments: [
    ("model_type", "\"mixtral\"", "\"mixtral\""), ("model_type", "\"qwen2_moe\"", "\"qwen2_moe\""),
    ("model_type", "\"qwen3_moe\"", "\"qwen3_moe\""), ("model_type", "7", "7"),
    ("hidden_act", "\"quick_gelu\"", "\"quick_gelu\""),
    ("hidden_act", "null", "null"), ("hidden_act", "\"SiLU\"", "\"SiLU\""), ("is_causal", "false", "false"),
    ("is_causal", "0", "0"), ("is_causal", "\"false\"", "\"false\""), ("use_sliding_window", "\"true\"", "\"true\""),
    ("use_sliding_window", "1", "1"), ("use_sliding_window", "null", "null"), ("layer_types", "[]", "an array"),
    ("layer_types", "[\"full_attention\"]", "an array"),
    (
      "layer_types", "[\(Array(repeating: "\"sliding_attention\"", count: 24).joined(separator: ","))]",
      "an array, with sliding_attention"
    ),
    (
      "layer_types", "[\(Array(repeating: "\"other_attention\"", count: 24).joined(separator: ","))]", "other_attention"
    ),
    ("layer_types", "\"full_attention\"", "\"full_attention\""),
    ("rope_scaling", "{\"type\": \"yarn\", \"factor\": 4.0}", "\"yarn\""),
    ("rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 0}", "0"),
    ("rope_scaling", "{\"rope_type\": \"linear\", \"type\": \"default\"}", "none"),
    ("rope_scaling", "{\"rope_type\": \"linear\", \"factor\": 2.0, \"partial_rotary_factor\": 0.5}", "0.5"),
    ("rope_scaling", "{\"rope_type\": \"llama3\", \"factor\": 2.0, \"low_freq_factor\": 1}", "none"),
    ("rope_scaling", "{\"type\": null}", "null"), ("rope_scaling", "{\"type\": \"mrope\"}", "\"mrope\""),
    ("rope_scaling", "\"linear\"", "\"linear\""), ("rope_scaling", "{\"rope_theta\": null}", "null"),
    ("rope_scaling", "{\"angle\": 3}", "3"), ("rope_theta", "null", "null"),
    ("rope_parameters", "{\"rope_type\": \"dynamic\", \"rope_theta\": 1e6}", "\"dynamic\""),
    ("rope_parameters", "{\"full_attention\": {\"rope_theta\": 5.0}}", "an object"),
    ("rope_parameters", "[1]", "an array"),
    ("head_dim", "63", "63"), ("head_dim", "0", "0"), ("tie_word_embeddings", "\"true\"", "\"true\""),
    ("tie_word_embeddings", "1", "1"), ("tie_word_embeddings", "null", "null"),
    ("num_attention_heads", "12", "12"), ("num_attention_heads", "0", "0"), ("num_key_value_heads", "3", "3"),
    ("hidden_size", "-896", "-896"), ("hidden_size", "896.5", "896.5"), ("hidden_size", "\"896\"", "\"896\""),
    ("hidden_size", "[896]", "an array"), ("hidden_size", "null", "null"), ("hidden_size", "NaN", "nan"),
    ("hidden_size", "17000000", "17000000"), ("intermediate_size", "0", "0"), ("vocab_size", "0", "0"),
    ("num_hidden_layers", "0", "0"), ("num_hidden_layers", "10001", "10001"), ("rms_norm_eps", "-1e-6", "-1e-06"),
    ("rms_norm_eps", "0", "0"), ("rms_norm_eps", "NaN", "nan"), ("rms_norm_eps", "null", "null"),
    ("rope_theta", "0", "0"), ("rope_theta", "\"1e6\"", "\"1e6\""), ("rope_theta", "Infinity", "inf"),
    ("quantization_config", "{\"quant_method\": \"gptq\"}", "gptq"), ("quantization_config", "{}", "one"),
    ("quantization", "{\"group_size\": 64, \"bits\": 4}", "4 bits"),
    ("compression_config", "{\"quant_method\": \"compressed-tensors\"}", "compressed-tensors"),
    ("pruned_heads", "{\"0\": [1]}", "an object"), ("per_layer_config", "{\"0\": {}}", "an object"),
    ("text_config", "{}", "an object"), ("configuration_files", "[\"a.json\"]", "an array"),
    ("transformers_weights", "\"a.safetensors\"", "\"a.safetensors\""), ("attribute_map", "{}", "an object"),
    ("use_bidirectional_attention", "true", "true"), ("unheard_of", "false", "false"), ("_unheard_of", "1", "1"),
  ])
  func refuses(entry: String, value: String, found: String) {
    var entries = Self.published
    entries[entry] = value
    let failure = #expect(throws: Failure.self) { try Self.read(entries) }
    #expect(failure?.kind == .malformed)
    #expect(failure?.description.contains(entry) == true, "\(failure?.description ?? "")")
    #expect(failure?.description.contains("found \(found)") == true, "\(failure?.description ?? "")")
  }

  @Test func aMissingModelTypeIsRefused() {
    var entries = Self.published
    entries["model_type"] = nil
    let failure = #expect(throws: Failure.self) { try Self.read(entries) }
    #expect(failure?.description.contains("found none") == true)
  }

  /// The default, 32, does not go with 14 heads: transformers does not load such a model either.
  @Test func missingKeyValueHeads() {
    var entries = Self.published
    entries["num_key_value_heads"] = nil
    let failure = #expect(throws: Failure.self) { try Self.read(entries) }
    #expect(failure?.description.contains("num_key_value_heads: expected a divisor of 14, found none") == true)
    entries["num_key_value_heads"] = "null"
    #expect(try! Self.read(entries).attention.keyValueHeads == 14)
  }

  @Test func codeOfItsOwnIsSaid() throws {
    var entries = Self.published
    entries["auto_map"] = "{\"AutoModelForCausalLM\": \"modeling.Model\"}"
    let warnings = try Self.read(entries).warnings
    #expect(warnings.count == 1 && warnings[0].contains("auto_map"))
  }
}

extension DecoderDescription {
  /// θ, from how fast the second pair of a layer's dimensions turns; NaN where none does.
  func rotaryBase(_ layer: Int) -> Double {
    guard case .halves(let frequencies) = attentions[layer].rotary else { return .nan }
    return pow(frequencies[1], -Double(frequencies.count))
  }
}
