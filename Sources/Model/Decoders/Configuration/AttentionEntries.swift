import JSON
import SystemIO
import TensorOperations

/// The entries of attention and of the MLP that several families share.
extension ConfigurationReader {
  /// The sizes of a decoder whose entries have the names that most families use.
  func sizes(default defaults: DecoderSizes) throws(Failure) -> DecoderSizes {
    var sizes = defaults
    sizes.width = try size("hidden_size", default: defaults.width)
    sizes.mlpWidth = try size("intermediate_size", default: defaults.mlpWidth)
    sizes.layerCount = try size("num_hidden_layers", default: defaults.layerCount, atMost: 10_000)
    sizes.vocabulary = try size("vocab_size", default: defaults.vocabulary)
    sizes.heads = try size("num_attention_heads", default: defaults.heads)
    // Where it is null, transformers takes as many as there are query heads.
    let followsHeads = value("num_key_value_heads")?.isNull ?? (defaults.keyValueHeads == nil)
    let keyValueHeads =
      followsHeads ? sizes.heads : try size("num_key_value_heads", default: defaults.keyValueHeads ?? sizes.heads)
    guard sizes.heads % keyValueHeads == 0 else {
      throw unsupported(
        "num_key_value_heads", "a divisor of \(sizes.heads)",
        value("num_key_value_heads") == nil ? ", which transformers takes for \(keyValueHeads)" : "")
    }
    sizes.keyValueHeads = keyValueHeads
    if let headWidth = defaults.headWidth {
      sizes.headWidth = try size("head_dim", default: headWidth)
    } else if let stated = value("head_dim"), !stated.isNull {
      sizes.headWidth = try size("head_dim", default: 0)
    } else {
      guard sizes.width % sizes.heads == 0 else {
        throw unsupported("num_attention_heads", "a divisor of hidden_size \(sizes.width)")
      }
      sizes.headWidth = sizes.width / sizes.heads
    }
    guard sizes.headWidth! % 2 == 0 else {
      throw unsupported("head_dim", "an even number", ", which makes \(sizes.headWidth!)")
    }
    // Each dimension of a head has a frequency in memory, whatever the weights turn out to be.
    guard sizes.headWidth! <= 1 << 20 else {
      throw unsupported("head_dim", "at most \(1 << 20)", ", which makes \(sizes.headWidth!)")
    }
    return sizes
  }

  /// HF: activations.py, ACT2CLS.
  func activation(_ entry: String, default: String) throws(Failure) -> ActivationFunction {
    let name = value(entry) ?? .string(Array(`default`.utf8))
    switch name.text {
    case "silu", "swish": return .silu
    case "gelu", "gelu_python": return .gelu
    case "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "gelu_accurate": return .geluTanh
    case "relu": return .relu
    default: throw unsupported(entry, "\"silu\", \"gelu\", \"gelu_new\", \"gelu_pytorch_tanh\" or \"relu\"")
    }
  }

  /// Refuses an entry that names another function than the one that transformers' code of the family reads elsewhere.
  func refuseOtherActivation(_ entry: String, than function: ActivationFunction) throws(Failure) {
    guard let value = value(entry), !value.isNull, try activation(entry, default: "") != function else { return }
    throw unsupported(entry, "the function that the MLP has, or null")
  }

  /// Whether each layer sees a window of what comes before instead of all of it; nil where nothing is said.
  func slidingLayers(count: Int) throws(Failure) -> [Bool]? {
    guard let types = value("layer_types"), !types.isNull else { return nil }
    guard let types = types.elements, types.count == count else {
      throw unsupported("layer_types", "a list of num_hidden_layers, \(count), types")
    }
    // "attention" is an older name, which transformers still takes.
    if let other = types.first(where: { !["full_attention", "attention", "sliding_attention"].contains($0.text) }) {
      throw Failure(
        .malformed,
        "config.json: layer_types: expected full_attention or sliding_attention, found \(other.text ?? "something else")"
      )
    }
    return types.map { $0.text == "sliding_attention" }
  }

  /// The window of the layers that have one; nil where it is null.
  func window(default: Int) throws(Failure) -> Int? {
    value("sliding_window")?.isNull == true ? nil : try size("sliding_window", default: `default`)
  }

  /// By layer the window that attention sees.
  ///
  /// - Parameter slides: whether a layer has one where config.json has no list of types.
  func windows(layerCount: Int, slides: (Int) -> Bool) throws(Failure) -> [Int?] {
    guard let window = try window(default: 4096) else { throw unsupported("sliding_window", "a whole number") }
    // A second name of it in some files, which transformers' code does not read.
    try require("sliding_window_size", toBe: Double(window))
    return try (slidingLayers(count: layerCount) ?? (0..<layerCount).map(slides)).map { $0 ? window : nil }
  }

  /// By layer the window that attention sees, of families in which `use_sliding_window` says whether there is one.
  ///
  /// HF: configuration_qwen2.py, __post_init__.
  func windowsWhereUsed(layerCount: Int) throws(Failure) -> [Int?] {
    let isUsed = try boolean("use_sliding_window", default: false)
    let (window, firstLayer) = (
      isUsed ? try window(default: 4096) : nil, try size("max_window_layers", default: 28, from: 0)
    )
    _ = value("sliding_window")
    let slides = try slidingLayers(count: layerCount) ?? (0..<layerCount).map { $0 >= firstLayer && window != nil }
    guard !slides.contains(true) || window != nil else {
      throw unsupported(
        "layer_types", "full_attention in every layer, since there is no sliding window", ", with sliding_attention")
    }
    return slides.map { $0 ? window : nil }
  }
}

/// The sizes of a decoder, and what a family takes for them where config.json does not say.
struct DecoderSizes {
  /// D
  var width: Int
  /// F
  var mlpWidth: Int
  var layerCount: Int
  /// V
  var vocabulary: Int
  var heads: Int
  /// As defaults: nil for as many as there are query heads.
  var keyValueHeads: Int?
  /// As defaults: nil for width / heads.
  var headWidth: Int?

  /// The shape of attention with these heads.
  func attention(scale: Float? = nil, softCap: Float? = nil, window: Int? = nil) -> AttentionShape {
    AttentionShape(
      heads: heads, keyValueHeads: keyValueHeads!, headWidth: headWidth!, scale: scale, softCap: softCap, window: window
    )
  }
}
