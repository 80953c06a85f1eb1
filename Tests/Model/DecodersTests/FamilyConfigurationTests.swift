import Decoders
import Foundation
import JSON
import SystemIO
import TensorOperations
import Testing

/// config.json of the families beside the first. That each entry's effect is transformers' is compared by
/// Tests/Parity/compare_checkpoints.py.
@Suite struct FamilyConfigurationTests {
  private static func read(_ type: String, _ entries: [String: String] = [:]) throws -> DecoderDescription {
    try ConfigurationTests.read(entries.merging(["model_type": "\"\(type)\""]) { $1 })
  }

  /// What transformers takes entries to be that are not there: the defaults of each family's configuration class.
  @Test func defaults() throws {
    let llama = try Self.read("llama")
    #expect(llama.width == 4096 && llama.mlp == .gated(width: 11_008, .silu) && llama.vocabularySize == 32_000)
    #expect(llama.layerCount == 32 && llama.attention == AttentionShape(heads: 32, keyValueHeads: 32, headWidth: 128))
    #expect(llama.weights.optionalNames.isEmpty && !llama.weights.shapes.keys.contains { $0.hasSuffix("bias") })
    let mistral = try Self.read("mistral")
    #expect(mistral.attention == AttentionShape(heads: 32, keyValueHeads: 8, headWidth: 128, window: 4096))
    let qwen3 = try Self.read("qwen3", ["num_attention_heads": "64"])
    #expect(qwen3.attention == AttentionShape(heads: 64, keyValueHeads: 32, headWidth: 128))
    #expect(qwen3.weights.shapes["model.layers.31.self_attn.k_norm.weight"] == [128])
    let gemma = try Self.read("gemma")
    #expect(gemma.attention == AttentionShape(heads: 16, keyValueHeads: 16, headWidth: 256) && gemma.tiesHead)
    #expect(gemma.mlp == .gated(width: 24_576, .geluTanh) && gemma.norm == .rms(epsilon: 1e-6, offset: 1))
    #expect(gemma.embeddingScale == Float(3072).squareRoot() && gemma.logitSoftCap == nil)
    let gemma2 = try Self.read("gemma2")
    #expect(gemma2.attention.scale == 1.0 / 16 && gemma2.attention.softCap == 50 && gemma2.logitSoftCap == 30)
    #expect(gemma2.attentions.map(\.shape.window) == (0..<26).map { $0 % 2 == 0 ? 4096 : nil })
    let gemma3 = try Self.read("gemma3_text")
    #expect(gemma3.attention.softCap == nil && gemma3.logitSoftCap == nil && gemma3.vocabularySize == 262_208)
    #expect(gemma3.attentions.map(\.shape.window) == (0..<26).map { $0 % 6 == 5 ? nil : 4096 })
    #expect(abs(gemma3.rotaryBase(0) / 1e4 - 1) < 1e-4 && abs(gemma3.rotaryBase(5) / 1e6 - 1) < 1e-4)
    let gpt2 = try Self.read("gpt2")
    #expect(gpt2.width == 768 && gpt2.mlp == .plain(width: 3072, .geluTanh) && gpt2.learnedPositions == 1024)
    #expect(gpt2.attentions.allSatisfy { $0.rotary == .none && $0.shape.scale == 0.125 } && gpt2.tiesHead)
    let neox = try Self.read("gpt_neox")
    #expect(neox.wiring == .parallel && neox.norm == .layer(epsilon: 1e-5) && neox.mlp == .plain(width: 24_576, .gelu))
    guard case .halves(let frequencies) = neox.attentions[0].rotary else { throw Failure(.bug, "no angles") }
    #expect(frequencies.count == 12)
  }

  /// What only some models have.
  @Test func options() throws {
    let llama = try Self.read(
      "llama",
      [
        "attention_bias": "true", "mlp_bias": "true", "num_key_value_heads": "8", "head_dim": "64",
        "pretraining_tp": "1",
      ])
    #expect(llama.attention == AttentionShape(heads: 32, keyValueHeads: 8, headWidth: 64))
    #expect(llama.weights.shapes.keys.filter { $0.hasPrefix("model.layers.0.") && $0.hasSuffix("bias") }.count == 7)
    #expect(try Self.read("mistral", ["sliding_window": "null"]).attention.window == nil)
    let gpt2 = try Self.read("gpt2", ["scale_attn_by_inverse_layer_idx": "true", "scale_attn_weights": "false"])
    #expect(gpt2.attentions.map(\.shape.scale) == (1...12).map { 1 / Float($0) })
    #expect(try Self.read("gpt2", ["n_inner": "null"]) == Self.read("gpt2"))
    let neox = try Self.read("gpt_neox", ["use_parallel_residual": "false", "attention_bias": "false"])
    #expect(neox.wiring == .sequential && neox.weights.shapes["gpt_neox.layers.0.attention.dense.bias"] == nil)
    #expect(try Self.read("gpt_neox", ["rotary_pct": "0.001"]).attentions[0].rotary == .none)
    let gemma3 = try Self.read("gemma3_text", ["sliding_window_pattern": "2", "final_logit_softcapping": "7.0"])
    #expect(gemma3.attentions[1].shape.window == nil && gemma3.logitSoftCap == 7)
    #expect(try Self.read("gemma", ["hidden_act": "\"gelu\"", "hidden_activation": "null"]) == Self.read("gemma"))
  }

  /// config.json of models that are much used, as their repositories have it: nothing in them is unknown.
  @Test(arguments: [
    #"""
    {"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
    "eos_token_id": [128001, 128008, 128009], "hidden_act": "silu", "hidden_size": 4096, "initializer_range": 0.02,
    "intermediate_size": 14336, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "pretraining_tp": 1,
    "rms_norm_eps": 1e-05, "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
    "tie_word_embeddings": false, "torch_dtype": "bfloat16", "transformers_version": "4.42.3", "use_cache": true,
    "vocab_size": 128256}
    """#,
    #"""
    {"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 0,
    "eos_token_id": 0, "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536, "is_llama_config": true, "max_position_embeddings": 8192, "model_type": "llama",
    "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pretraining_tp": 1,
    "rms_norm_eps": 1e-05, "rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000,
    "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.40.1", "use_cache": true,
    "vocab_size": 49152}
    """#,
    #"""
    {"architectures": ["Gemma2ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "attn_logit_softcapping": 50.0, "bos_token_id": 2, "cache_implementation": "hybrid", "eos_token_id": 1,
    "final_logit_softcapping": 30.0, "head_dim": 256, "hidden_act": "gelu_pytorch_tanh",
    "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 2304, "initializer_range": 0.02,
    "intermediate_size": 9216, "max_position_embeddings": 8192, "model_type": "gemma2", "num_attention_heads": 8,
    "num_hidden_layers": 26, "num_key_value_heads": 4, "pad_token_id": 0, "query_pre_attn_scalar": 256,
    "rms_norm_eps": 1e-06, "rope_theta": 10000.0, "sliding_window": 4096, "torch_dtype": "float32",
    "transformers_version": "4.42.4", "use_cache": true, "vocab_size": 256000}
    """#,
    #"""
    {"_sliding_window_pattern": 6, "architectures": ["Gemma3ForCausalLM"], "attention_bias": false,
    "attention_dropout": 0.0, "attn_logit_softcapping": null, "bos_token_id": 2, "eos_token_id": 1,
    "final_logit_softcapping": null, "head_dim": 256, "hidden_activation": "gelu_pytorch_tanh", "hidden_size": 640,
    "initializer_range": 0.02, "intermediate_size": 2048, "max_position_embeddings": 32768,
    "model_type": "gemma3_text", "num_attention_heads": 4, "num_hidden_layers": 18, "num_key_value_heads": 1,
    "pad_token_id": 0, "query_pre_attn_scalar": 256, "rms_norm_eps": 1e-06, "rope_local_base_freq": 10000.0,
    "rope_scaling": null, "rope_theta": 1000000.0, "sliding_window": 512, "torch_dtype": "bfloat16",
    "transformers_version": "4.55.0.dev0", "use_bidirectional_attention": false, "use_cache": true,
    "vocab_size": 262144}
    """#,
    #"""
    {"architectures": ["Gemma3ForConditionalGeneration"], "boi_token_index": 255999, "eoi_token_index": 256000,
    "eos_token_id": [1, 106], "image_token_index": 262144, "initializer_range": 0.02, "mm_tokens_per_image": 256,
    "model_type": "gemma3", "text_config": {"hidden_size": 2560, "intermediate_size": 10240,
    "model_type": "gemma3_text", "num_hidden_layers": 34, "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
    "sliding_window": 1024}, "torch_dtype": "bfloat16", "transformers_version": "4.50.0.dev0",
    "vision_config": {"hidden_size": 1152, "model_type": "siglip_vision_model"}}
    """#,
    #"""
    {"activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
    "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02,
    "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12,
    "n_positions": 1024, "resid_pdrop": 0.1, "summary_activation": null, "summary_first_dropout": 0.1,
    "summary_proj_to_labels": true, "summary_type": "cls_index", "summary_use_proj": true,
    "task_specific_params": {"text-generation": {"do_sample": true, "max_length": 50}}, "vocab_size": 50257}
    """#,
    #"""
    {"architectures": ["GPTNeoXForCausalLM"], "bos_token_id": 0, "eos_token_id": 0, "hidden_act": "gelu",
    "hidden_size": 512, "initializer_range": 0.02, "intermediate_size": 2048, "layer_norm_eps": 1e-05,
    "max_position_embeddings": 2048, "model_type": "gpt_neox", "num_attention_heads": 8, "num_hidden_layers": 6,
    "rotary_emb_base": 10000, "rotary_pct": 0.25, "tie_word_embeddings": false, "torch_dtype": "float16",
    "transformers_version": "4.24.0", "use_cache": true, "use_parallel_residual": true, "vocab_size": 50304}
    """#,
    #"""
    {"architectures": ["Qwen3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 151643,
    "eos_token_id": 151645, "head_dim": 128, "hidden_act": "silu", "hidden_size": 1024, "initializer_range": 0.02,
    "intermediate_size": 3072, "max_position_embeddings": 40960, "max_window_layers": 28, "model_type": "qwen3",
    "num_attention_heads": 16, "num_hidden_layers": 28, "num_key_value_heads": 8, "rms_norm_eps": 1e-06,
    "rope_scaling": null, "rope_theta": 1000000, "sliding_window": null, "tie_word_embeddings": true,
    "torch_dtype": "bfloat16", "transformers_version": "4.51.0", "use_cache": true, "use_sliding_window": false,
    "vocab_size": 151936}
    """#,
    #"""
    {"architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
    "hidden_size": 4096, "initializer_range": 0.02, "intermediate_size": 14336, "max_position_embeddings": 32768,
    "model_type": "mistral", "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": false,
    "torch_dtype": "bfloat16", "transformers_version": "4.34.0.dev0", "use_cache": true, "vocab_size": 32000}
    """#,
  ])
  func published(text: String) throws {
    let json = try JSON(parsing: Array(text.utf8))
    let description = try DecoderDescription(json)
    let sizes = try #require((json["text_config"] ?? json).members)
    let width = sizes.first { ["hidden_size", "n_embd"].contains(String(decoding: $0.key, as: UTF8.self)) }
    #expect(description.width == width?.value.int && description.warnings.isEmpty)
  }

  /// The lengths of the waves at which scaling begins and ends, and that others are left alone.
  @Test func scaledAngles() throws {
    func frequencies(_ rope: String, _ type: String = "llama") throws -> [Double] {
      let description = try Self.read(type, ["rope_scaling": rope, "rope_theta": "10000.0"])
      guard case .halves(let values) = description.attentions[0].rotary else { return [] }
      return values
    }
    let plain = try frequencies("null")
    let linear = try frequencies(#"{"type": "linear", "factor": 4.0}"#)
    #expect(linear == plain.map { $0 / 4 })
    let scaled = try frequencies(
      #"{"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 512}"#
    )
    for (own, other) in zip(scaled, plain) {
      switch 2 * Double.pi / other {
      case ..<128: #expect(own == other)
      case 512...: #expect(own == other / 8)
      default: #expect(own < other && own > other / 8)
      }
    }
    #expect(Set(zip(scaled, plain).map { $0 == $1 }) == [true, false])
  }

  /// A model that reads images has the entries of its text half in an object of their own.
  @Test func textHalf() throws {
    let text =
      #"{"model_type": "gemma3_text", "hidden_size": 2560, "intermediate_size": 10240, "sliding_window": 1024}"#
    let description = try Self.read("gemma3", ["text_config": text, "vision_config": "{}", "image_token_index": "7"])
    #expect(description.width == 2560 && description.attention.window == 1024 && description.tiesHead)
    #expect(description.weights.shapes["model.language_model.embed_tokens.weight"] == [262_208, 2560])
    let failure = #expect(throws: Failure.self) {
      try Self.read("gemma3", ["text_config": #"{"hidden_size": "2560"}"#])
    }
    #expect(failure?.description.contains("text_config.hidden_size: expected a whole number") == true)
  }

  /// Each of these is another computation than ours, or none: refused, with the entry's name and what it was.
  @Test(arguments: [
    ("llama", "pretraining_tp", "2", "2"), ("llama", "rope_interleaved", "true", "true"),
    ("llama", "attention_bias", "null", "null"), ("llama", "mlp_bias", "1", "1"), ("llama", "sliding_window", "4", "4"),
    ("llama", "rope_scaling", "{\"type\": \"dynamic\", \"factor\": 2.0}", "\"dynamic\""),
    ("llama", "rope_scaling", "{\"rope_type\": \"yarn\", \"factor\": 2.0}", "\"yarn\""),
    ("llama", "rope_scaling", "{\"rope_type\": \"longrope\"}", "\"longrope\""),
    ("llama", "num_key_value_heads", "3", "3"), ("llama", "head_dim", "9", "9"),
    ("mistral", "attention_bias", "true", "true"), ("mistral", "sliding_window", "0", "0"),
    ("mistral", "layer_types", "[]", "an array"), ("qwen3", "layer_types", "[]", "an array"),
    ("qwen3", "head_dim", "0", "0"), ("qwen3", "use_sliding_window", "\"true\"", "\"true\""),
    ("gemma", "head_dim", "null", "null"), ("gemma", "use_bidirectional_attention", "true", "true"),
    ("gemma", "hidden_activation", "\"gelu\"", "\"gelu\""),
    ("gemma", "final_logit_softcapping", "30.0", "30"), ("gemma", "num_key_value_heads", "5", "5"),
    ("gemma2", "use_bidirectional_attention", "true", "true"), ("gemma2", "hidden_act", "\"silu\"", "\"silu\""),
    ("gemma2", "sliding_window", "null", "null"), ("gemma2", "attn_logit_softcapping", "0", "0"),
    ("gemma2", "query_pre_attn_scalar", "-1", "-1"),
    ("gemma3_text", "attn_logit_softcapping", "50.0", "50"), ("gemma3_text", "sliding_window", "null", "null"),
    ("gemma3_text", "use_bidirectional_attention", "true", "true"),
    ("gemma3_text", "rope_parameters", "{\"rope_theta\": 5.0}", "5"), ("gemma3_text", "rope_scaling", "2", "2"),
    ("gemma3_text", "rope_parameters", "{\"full_attention\": {\"rope_type\": \"yarn\"}}", "\"yarn\""),
    ("gemma3_text", "rope_local_base_freq", "0", "0"), ("gemma3_text", "sliding_window_pattern", "0", "0"),
    ("gemma3", "text_config", "{\"final_logit_softcapping\": 30.0}", "30"),
    ("gemma3", "text_config", "{\"tie_word_embeddings\": false}", "false"),
    ("gemma3", "text_config", "{\"model_type\": \"gemma2\"}", "\"gemma2\""), ("gemma3", "text_config", "7", "7"),
    ("gemma3", "text_config", "{\"unheard_of\": 7}", "7"), ("gemma3", "hidden_size", "7", "7"),
    ("gpt2", "add_cross_attention", "true", "true"), ("gpt2", "n_head", "7", "7"), ("gpt2", "n_inner", "0", "0"),
    ("gpt2", "activation_function", "\"tanh\"", "\"tanh\""), ("gpt2", "rotary_pct", "1", "1"),
    ("gpt_neox", "rotary_pct", "1.5", "1.5"), ("gpt_neox", "num_attention_heads", "7", "7"),
    ("gpt_neox", "rope_theta", "5.0", "5"), ("gpt_neox", "partial_rotary_factor", "0.5", "0.5"),
    ("gpt_neox", "use_parallel_residual", "null", "null"), ("gpt_neox", "head_dim", "64", "64"),
  ])
  func refuses(type: String, entry: String, value: String, found: String) {
    let failure = #expect(throws: Failure.self) { try Self.read(type, [entry: value]) }
    #expect(failure?.kind == .malformed)
    #expect(failure?.description.contains(entry) == true, "\(failure?.description ?? "")")
    #expect(failure?.description.contains("found \(found)") == true, "\(failure?.description ?? "")")
  }
}
