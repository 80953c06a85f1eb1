/// The tensors of a Qwen2 model by the names and with the shapes that transformers gives them.
///
/// HF: modeling_qwen2.py, Qwen2ForCausalLM.
struct ModelTensors {
  static let embedding = "model.embed_tokens.weight"
  static let finalNorm = "model.norm.weight"
  static let head = "lm_head.weight"

  /// By name; the head too where it is the embedding matrix.
  let shapes: [String: [Int]]
  /// Those of `shapes` that a model is complete without, taken for zeros where none of them is there.
  let biases: Set<String>

  init(_ configuration: QwenConfiguration) {
    let (D, F) = (configuration.hiddenSize, configuration.intermediateSize)
    let (Q, K) = (configuration.attention.queryWidth, configuration.attention.keyValueWidth)
    let V = configuration.vocabularySize
    var shapes = [Self.embedding: [V, D], Self.finalNorm: [D], Self.head: [V, D]]
    var biases: Set<String> = []
    for number in 0..<configuration.layerCount {
      let prefix = Self.layer(number)
      for (name, width) in [("q", Q), ("k", K), ("v", K)] {
        shapes["\(prefix)self_attn.\(name)_proj.weight"] = [width, D]
        shapes["\(prefix)self_attn.\(name)_proj.bias"] = [width]
        biases.insert("\(prefix)self_attn.\(name)_proj.bias")
      }
      shapes[prefix + "self_attn.o_proj.weight"] = [D, Q]
      for name in ["gate", "up"] { shapes["\(prefix)mlp.\(name)_proj.weight"] = [F, D] }
      shapes[prefix + "mlp.down_proj.weight"] = [D, F]
      for name in ["input", "post_attention"] { shapes["\(prefix)\(name)_layernorm.weight"] = [D] }
    }
    self.shapes = shapes
    self.biases = biases
  }

  /// What the names of a layer's tensors begin with.
  static func layer(_ number: Int) -> String { "model.layers.\(number)." }

  /// The name that a tensor of a file means, with `model.` before it or taken away as transformers does it; nil where
  /// it is no tensor of this model.
  ///
  /// HF: core_model_loading.py, rename_source_key.
  func canonicalName(_ name: String) -> String? {
    let prefix = "model."
    if name.hasPrefix(prefix), shapes[String(name.dropFirst(prefix.count))] != nil {
      return String(name.dropFirst(prefix.count))
    }
    if shapes[prefix + name] != nil { return prefix + name }
    return shapes[name] == nil ? nil : name
  }
}
