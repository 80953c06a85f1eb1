import JSON
import SystemIO

extension Qwen2 {
  /// A window is one only where a layer uses it.
  ///
  /// HF: configuration_qwen2.py, Qwen2Config.__post_init__.
  static func checkFullAttention(_ reader: ConfigurationReader, layerCount: Int) throws(Failure) {
    let usesWindow = try reader.boolean("use_sliding_window", default: false)
    let window = reader.value("sliding_window")
    let firstLayer = reader.value("max_window_layers")
    if let types = reader.value("layer_types"), !types.isNull {
      guard let types = types.elements, types.count == layerCount else {
        throw reader.unsupported("layer_types", "a list of num_hidden_layers, \(layerCount), types")
      }
      // "attention" is an older name, which transformers still takes.
      if let other = types.first(where: { !["full_attention", "attention"].contains($0.text) }) {
        throw Failure(
          .malformed,
          "config.json: layer_types: expected full_attention throughout, found \(other.text ?? "something else")")
      }
      return
    }
    guard usesWindow, window?.isNull != true else { return }
    if let firstLayer, firstLayer.int == nil { throw reader.unsupported("max_window_layers", "a whole number") }
    guard (firstLayer?.int ?? 28) < layerCount else { return }
    throw reader.unsupported("use_sliding_window", "false, or max_window_layers of at least \(layerCount)")
  }
}
