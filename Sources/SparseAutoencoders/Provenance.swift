/// Where an autoencoder was made for, by the names that libraries give to places.
extension SparseAutoencoder.Provenance {
  /// Another place than the output of that layer's MLP that it was made for, in words; nil where it is that place, and
  /// where nothing tells.
  func place(otherThanMLPOutputOf used: Int) -> String? {
    let named = site.map { " (\($0))" } ?? ""
    let layers = [layer, site.flatMap(Self.layerNumber)].compactMap { $0 }
    let layer = layers.first { $0 != used } ?? layers.first
    let ofLayer = layer.map { " of layer \($0)" } ?? ""
    if isInput { return "the input of a module\(named)\(ofLayer)" }
    if isOneHead { return "one attention head\(named)\(ofLayer)" }
    if let site, case .other(let place)? = Self.kind(of: site) { return "\(place)\(ofLayer)\(named)" }
    guard let layer, layer != used else { return nil }
    return "layer \(layer)\(named)"
  }

  /// The model that it was trained on, where that is another: the last parts of names are compared, by which hub ids,
  /// folders and short names agree.
  func otherModel(than modelName: String) -> String? {
    func key(_ name: String) -> String { name.split(separator: "/").last.map { $0.lowercased() } ?? name }
    return self.modelName.flatMap { key($0) == key(modelName) ? nil : $0 }
  }

  /// What the configuration leaves open, from the names of the nearest folders: `mlp_out_layer_3/trainer_0`,
  /// `resid_post/layer_12_width_16k`, `layer_12/width_16k/average_l0_71`, `…SAE-Res-Qwen3…/layer0.sae.pt`.
  func completed(byFoldersOf path: String) -> Self {
    var completed = self
    // The hub's cache puts the repository's name before a folder of snapshots and one for each.
    let names = path.split(separator: "/").suffix(8).map(String.init).reversed()
    if layer == nil, site.flatMap(Self.layerNumber) == nil {
      completed.layer = names.prefix(5).lazy.compactMap(Self.layerNumber).first
    }
    if site.flatMap(Self.kind) == nil, !isInput, !isOneHead {
      completed.site = names.first { Self.namesPlace($0) } ?? site
    }
    return completed
  }

  enum PlaceKind: Equatable {
    case mlpOutput
    case other(String)
  }

  /// What place a name is of; nil where it does not tell.
  static func kind(of site: String) -> PlaceKind? {
    let words = words(site)
    func has(_ prefixes: String...) -> Bool {
      words.contains { word in prefixes.contains { word.hasPrefix($0) } }
    }
    if has("transcoder", "crosscoder") { return .other("a transcoder's place") }
    if has("resid") || site.contains("SAE-Res-") { return .other("the residual stream") }
    if has("layernorm", "norm", "ln1", "ln2") || site.contains("_norm") {
      // Gemma 2 and 3 put what the MLP adds to the stream through a norm first.
      return has("feedforward") && has("post") ? .mlpOutput : .other("a normalised activation")
    }
    if has("attn", "attention") { return .other("the attention's output") }
    if has("embed", "wte", "wpe") { return .other("the embedding") }
    if let mlp = words.firstIndex(where: { $0.hasPrefix("mlp") }) {
      let part = words[(mlp + 1)...].joined(separator: "_")
      if part == "in" || part.hasPrefix("in_") || part.hasSuffix("input") { return .other("the MLP's input") }
      let inside = ["hook_pre", "hook_post", "hook_mid", "act", "gate", "up", "fc1", "c_fc", "dense_h_to_4h"]
      return inside.contains { part.hasPrefix($0) } ? .other("the inside of the MLP") : .mlpOutput
    }
    // A whole layer's output: model.layers.3, blocks.3, h.3.
    if let last = words.last(where: { $0 != "output" }), Int(last) != nil,
      let list = words.dropLast(words.last == "output" ? 2 : 1).last, ["layers", "blocks", "h"].contains(list)
    {
      return .other("the residual stream")
    }
    return nil
  }

  /// 3 of `mlp_out_layer_3`, `blocks.3.hook_mlp_out`, `model.layers.3.mlp`, `layer3.sae.pt`.
  static func layerNumber(_ site: String) -> Int? {
    let words = words(site)
    for (word, next) in zip(words, words.dropFirst()) where ["layer", "layers", "blocks", "h"].contains(word) {
      if let number = Int(next) { return number }
    }
    return words.first { $0.hasPrefix("layer") }.flatMap { Int($0.dropFirst("layer".count)) }
  }

  /// Whether a folder's name is that of a place and not a word that somebody gave a folder.
  private static func namesPlace(_ name: String) -> Bool {
    guard kind(of: name) != nil else { return false }
    let known = [
      "resid_pre", "resid_mid", "resid_post", "mlp_in", "mlp_out", "attn_out", "attn_out_all", "resid_post_all",
      "mlp_out_all", "transcoder", "transcoder_all", "embedding", "embed_tokens",
    ]
    return layerNumber(name) != nil || known.contains(name) || name.contains("SAE-Res-")
  }

  private static func words(_ site: String) -> [Substring] {
    site.lowercased().split { !($0.isLetter || $0.isNumber) }
  }
}
