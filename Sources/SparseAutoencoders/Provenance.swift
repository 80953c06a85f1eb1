extension SparseAutoencoder.Provenance {
  /// What speaks against use at the output of that layer's MLP of that model.
  func contradictions(layer: Int?, modelName: String?) -> [String] {
    var found: [String] = []
    let named = site.flatMap(Self.layerNumber)
    if let layer, let stated = [self.layer, named].compactMap({ $0 }).first(where: { $0 != layer }) {
      found.append("trained on layer \(stated)\(stated == named ? " (\(site ?? ""))" : ""), used at layer \(layer)")
    }
    if let site, let place = Self.otherPlace(site) {
      found.append("trained at \(site), on the \(place), used at the output of an MLP")
    }
    if let modelName, let stated = self.modelName, Self.key(stated) != Self.key(modelName) {
      found.append("trained on \(stated), used with \(modelName)")
    }
    return found
  }

  /// 3 of `mlp_out_layer_3`, `blocks.3.hook_mlp_out`, `model.layers.3.mlp`.
  static func layerNumber(_ site: String) -> Int? {
    let words = words(site)
    for (word, next) in zip(words, words.dropFirst()) where ["layer", "layers", "blocks", "h"].contains(word) {
      if let number = Int(next) { return number }
    }
    return nil
  }

  /// Where else than at an MLP a site of that name is.
  private static func otherPlace(_ site: String) -> String? {
    let words = words(site)
    if words.contains(where: { $0.hasPrefix("resid") }) { return "residual stream" }
    return words.contains { $0.hasPrefix("attn") } ? "attention's output" : nil
  }

  private static func words(_ site: String) -> [Substring] {
    site.split { !($0.isLetter || $0.isNumber) }
  }

  /// The last part of a model's name, by which hub ids, folders and short names compare.
  private static func key(_ name: String) -> String {
    name.split(separator: "/").last.map { $0.lowercased() } ?? name
  }
}
