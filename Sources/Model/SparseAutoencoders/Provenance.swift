import TensorStream

/// Where an autoencoder was made for, by the names that libraries give to places.
extension SparseAutoencoder.Provenance {
  /// Another place than the one it is used at that it was made for, in words; nil where it is that place, and where
  /// nothing tells.
  func place(otherThan used: Place) -> String? {
    let named = site.map { " (\($0))" } ?? ""
    let layers = [layer, site.flatMap(Self.layerNumber)].compactMap { $0 }
    let layer = layers.first { $0 != used.layer } ?? layers.first
    let ofLayer = layer.map { " of layer \($0)" } ?? ""
    if isInput { return "the input of a module\(named)\(ofLayer)" }
    if isOneHead { return "one attention head\(named)\(ofLayer)" }
    switch site.flatMap(Self.kind) {
    case .other(let place)?: return "\(place)\(ofLayer)\(named)"
    case .site(let site)?:
      let made = Place(site, layer ?? used.layer)
      if made.inOneSpelling == used.inOneSpelling { return nil }
      if site != used.site { return "\(Self.words(for: site))\(ofLayer)\(named)" }
    case nil: break
    }
    guard let layer, layer != used.layer else { return nil }
    return "layer \(layer)\(named)"
  }

  /// The model that it was trained on, where that is another: the last parts of names are compared, by which hub ids,
  /// folders and short names agree.
  func otherModel(than modelName: String) -> String? {
    func key(_ name: String) -> String {
      let last = name.split(separator: "/").last.map { $0.lowercased() } ?? name
      return Self.shortNames[last] ?? last
    }
    return self.modelName.flatMap { key($0) == key(modelName) ? nil : $0 }
  }

  /// What the configuration leaves open, from the names of the nearest folders: `mlp_out_layer_3/trainer_0`,
  /// `resid_post/layer_12_width_16k`, `gemma-scope-2b-pt-att/…/layer_12/width_16k/average_l0_71`,
  /// `…SAE-Res-Qwen3…/layer0.sae.pt`, `Llama-3.1-8B-Instruct-SAE-l19.pth`.
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

  /// TransformerLens's names for models that the hub has under others.
  private static let shortNames = ["gpt2-small": "gpt2", "mistral-7b": "mistral-7b-v0.1"]

  /// The place that it was made for, as this project writes places; in words where it is none of those; nil where
  /// nothing tells.
  public var placeInWords: String? {
    let layers = [layer, site.flatMap(Self.layerNumber)].compactMap { $0 }
    if isInput { return "the input of a module" }
    if isOneHead { return "one attention head" }
    switch site.flatMap(Self.kind) {
    case .site(let site)?: return layers.first.map { "\(Place(site, $0))" } ?? site.rawValue
    case .other(let place)?: return place
    case nil: return layers.first.map { "layer \($0)" }
    }
  }

  enum PlaceKind: Equatable {
    case site(Site)
    /// One that a model's passes do not stop at, in words.
    case other(String)
  }

  private static func words(for site: Site) -> String {
    switch site {
    case .residPre, .residMid, .residPost: "the residual stream"
    case .attnZ: "the attention heads' outputs"
    case .attnOut: "the attention's output"
    case .mlpOut: "the MLP's output"
    }
  }

  /// What place a name is of, whichever library gave it; nil where it does not tell.
  static func kind(of site: String) -> PlaceKind? {
    let words = words(site)
    func has(_ prefixes: String...) -> Bool {
      words.contains { word in prefixes.contains { word.hasPrefix($0) } }
    }
    /// What follows the first word that begins so.
    func part(behind prefix: String) -> String? {
      words.firstIndex { $0.hasPrefix(prefix) }.map { words[($0 + 1)...].joined(separator: "_") }
    }
    if has("transcoder", "crosscoder") { return .other("a transcoder's place") }
    if let part = part(behind: "resid") {
      return .site(part.hasPrefix("pre") ? .residPre : part.hasPrefix("mid") ? .residMid : .residPost)
    }
    if site.contains("SAE-Res-") || ReleaseName.saeLayer(site) != nil { return .site(.residPost) }
    switch ReleaseName.gemmaScope(site)?.site {
    case "res": return .site(.residPost)
    case "att": return .site(.attnZ)
    case "mlp": return .site(.mlpOut)
    default: break
    }
    // What an output projection reads is its heads' outputs, by all of its names.
    if ["o_proj_input", "c_proj_input", "dense_input", "hook_z"].contains(
      where: words.joined(separator: "_").hasSuffix),
      !has("mlp")
    {
      return .site(.attnZ)
    }
    if has("layernorm", "norm", "ln1", "ln2") || site.contains("_norm") {
      // Gemma 2 and 3 put what the MLP adds to the stream through a norm first.
      return has("feedforward") && has("post") ? .site(.mlpOut) : .other("a normalised activation")
    }
    if let part = part(behind: "attn") ?? part(behind: "attention") {
      if part == "z" || part.hasPrefix("z_") || part.hasPrefix("hook_z") { return .site(.attnZ) }
      let inside = ["hook_q", "hook_k", "hook_v", "hook_pattern", "hook_result", "q_proj", "k_proj", "v_proj"]
      return inside.contains { part.hasPrefix($0) } ? .other("the inside of attention") : .site(.attnOut)
    }
    if has("embed", "wte", "wpe") { return .other("the embedding") }
    if let part = part(behind: "mlp") {
      if part == "in" || part.hasPrefix("in_") || part.hasSuffix("input") { return .other("the MLP's input") }
      let inside = ["hook_pre", "hook_post", "hook_mid", "act", "gate", "up", "fc1", "c_fc", "dense_h_to_4h"]
      return inside.contains { part.hasPrefix($0) } ? .other("the inside of the MLP") : .site(.mlpOut)
    }
    // A whole layer's output: model.layers.3, blocks.3, h.3.
    if let last = words.last(where: { $0 != "output" }), Int(last) != nil,
      let list = words.dropLast(words.last == "output" ? 2 : 1).last, ["layers", "blocks", "h"].contains(list)
    {
      return .site(.residPost)
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
      ?? ReleaseName.saeLayer(site)
  }

  /// Whether a folder's name is that of a place and not a word that somebody gave a folder.
  private static func namesPlace(_ name: String) -> Bool {
    guard kind(of: name) != nil else { return false }
    let known = [
      "resid_pre", "resid_mid", "resid_post", "mlp_in", "mlp_out", "attn_out", "attn_out_all", "resid_post_all",
      "mlp_out_all", "transcoder", "transcoder_all", "embedding", "embed_tokens",
    ]
    return layerNumber(name) != nil || known.contains(name) || name.contains("SAE-Res-")
      || ReleaseName.gemmaScope(name) != nil
  }

  private static func words(_ site: String) -> [Substring] {
    site.lowercased().split { !($0.isLetter || $0.isNumber) }
  }
}

extension Place {
  /// The residual stream before a layer is that behind the one before it.
  fileprivate var inOneSpelling: Place { site == .residPost ? Place(.residPre, layer + 1) : self }
}
