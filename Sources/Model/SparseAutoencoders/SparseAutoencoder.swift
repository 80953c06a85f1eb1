import SystemIO
import TensorStream

/// A trained sparse autoencoder as one of the libraries that make them saved it. Its matrices stay in the file.
public final class SparseAutoencoder: Sendable {
  public enum Format: String, Sendable {
    case dictionaryLearning = "dictionary_learning"
    case saeLens = "SAELens"
    case sparsify = "sparsify"
    case gemmaScope = "Gemma Scope"
    case qwenScope = "Qwen-Scope"
    case llamaScope = "Llama Scope"
    case goodfire = "Goodfire"
    case attentionOutput = "attention-output-saes"
  }

  /// What a file leaves open, or what there are two opinions on.
  public struct Options: Sendable {
    /// Whether an AutoEncoder of dictionary_learning is taken as `load_dictionary` gives it, its decoder's rows
    /// divided by their norms and its features multiplied by them. Otherwise as it is stored.
    public var normalizesDecoder = true
    /// Whether transcoders may be opened, which read a module's input and rebuild its output.
    public var acceptsTranscoders = false
    /// The k of a top-k autoencoder whose files do not say it, as those of Qwen-Scope; `usesGivenK` tells whether it
    /// was needed.
    public var k: Int?

    public init() {}
  }

  /// What the files say of where the autoencoder was trained; nil where they do not.
  public struct Provenance: Equatable, Sendable {
    public var modelName: String?
    public var layer: Int?
    /// The name of the place: `mlp_out_layer_3`, `blocks.3.hook_mlp_out`, `layers.3.mlp`.
    public var site: String?
    /// Whether it is what goes into that place, not what comes out.
    public var isInput: Bool
    /// Whether it is one attention head alone.
    public var isOneHead: Bool

    public init(
      modelName: String? = nil, layer: Int? = nil, site: String? = nil, isInput: Bool = false, isOneHead: Bool = false
    ) {
      self.modelName = modelName
      self.layer = layer
      self.site = site
      self.isInput = isInput
      self.isOneHead = isOneHead
    }
  }

  /// The file that holds the tensors.
  public let path: String
  public let format: Format
  /// The library's name for what it is: `BatchTopKSAE`, `jumprelu`.
  public let className: String
  public let parameters: AutoencoderParameters
  /// How many features it was trained to have active, where known: its k, or a target that stands in for it.
  public let k: Int?
  /// Whether `k` is that of the options: the files say none and the features depend on it.
  public let usesGivenK: Bool
  public let provenance: Provenance
  /// What a person should know who uses it, a line each.
  public let warnings: [String]
  public let isTranscoder: Bool
  private let hasUnitDecoder: Bool

  /// Opens what `name` stands for: a folder, a file in it, or a hub id (with a folder or file within the
  /// repository after it) that is looked up in the local cache. The format is recognised by what the files hold.
  ///
  /// - Parameters:
  ///   - name: `{layer}` in it stands for `layer`.
  ///   - layer: the layer whose autoencoder is wanted, where there is one for each.
  /// - Throws: `Failure` of kind cannotOpen or malformed that begins with the path.
  public convenience init(_ name: String, layer: Int? = nil, options: Options = Options()) throws {
    let files = try AutoencoderFiles(finding: layer.map { Self.substitute($0, in: name) } ?? name)
    try self.init(files: files, options: options)
  }

  init(files: AutoencoderFiles, options: Options) throws {
    let weights = try Weights(path: files.weights)
    let saved = SavedAutoencoder(weights: weights, files: files, options: options)
    let description: AutoencoderDescription
    do {
      description = try Self.read(saved)
    } catch let failure as Failure {
      // Messages about one of the files already begin with its path.
      let hasPath = files.all.contains { failure.description.hasPrefix($0) }
      throw hasPath ? failure : failure.at(files.weights)
    }
    guard options.acceptsTranscoders || !description.isTranscoder else {
      throw Failure(
        .malformed,
        "\(files.weights): expected an autoencoder, found a transcoder (\(description.className)), "
          + "which maps a module's input to its output and cannot replace an activation")
    }
    path = files.weights
    format = description.format
    className = description.className
    parameters = description.parameters
    k = description.k
    usesGivenK = description.usesGivenK
    provenance = description.provenance
    warnings = weights.warnings + description.warnings
    isTranscoder = description.isTranscoder
    hasUnitDecoder = description.hasUnitDecoder
  }

  /// The files that determine what the autoencoder computes which `name` stands for: its tensors, and the configurations
  /// that belong to them, wherever those lie. None is opened.
  ///
  /// - Throws: `Failure` of kind cannotOpen as `init` does.
  public static func files(_ name: String, layer: Int) throws -> [String] {
    try AutoencoderFiles(finding: substitute(layer, in: name)).all
  }

  /// What the names in a file's path say that changes what the autoencoder computes and that its files do not say:
  /// copies of the same files for which this differs are different autoencoders. Empty for most.
  public static func properties(inPath path: String) -> String {
    let folders = path.split(separator: "/").dropLast()
    var found = ReleaseName.topK(inPath: path).map { ["L0_\($0)"] } ?? []
    if folders.suffix(3).contains("embedding") { found.append("embedding") }
    if let repository = PublishedCorrections.repository(inPath: path) {
      found += [repository, folders.last.map(String.init) ?? ""]
    }
    return found.joined(separator: ",")
  }

  /// `name` with every `{layer}` replaced.
  public static func substitute(_ layer: Int, in name: String) -> String {
    name.split(separator: "{layer}", omittingEmptySubsequences: false).joined(separator: "\(layer)")
  }

  /// The features' number, F.
  public var features: Int { parameters.encoder.columns }
  /// The width of what it rebuilds, D.
  public var width: Int { parameters.decoder.columns }

  /// XXH64 of the file that holds the tensors, which is what `xxhsum` prints of it. Reads all of it.
  public func contentHash() throws -> String {
    var hash = ContentHash()
    withExtendedLifetime(try MappedFile(path: path)) { file in
      MappedFile.readThrough(file.bytes) { hash.update($0) }
    }
    return hash.hexadecimal
  }

  /// Where the first NaN or infinity of what it computes with stands, in words; reads both matrices.
  ///
  /// An infinite threshold is a number: that of a feature which is never to be active.
  public func placeOfNonfinite() throws -> String? {
    let factors: [(String, [Float]?)] = [
      ("input bias", parameters.inputBias), ("encoder bias", parameters.encoderBias),
      ("preactivation factors", parameters.preactivationFactors), ("decoder factors", parameters.decoderFactors),
      ("output bias", parameters.outputBias),
    ]
    for (name, values) in factors {
      if let place = values?.firstIndex(where: { !$0.isFinite }) { return "\(name): \(values![place]) at \(place)" }
    }
    for (name, matrix) in [("encoder", parameters.encoder), ("decoder", parameters.decoder)] {
      if let (row, column, value) = try firstNonfinite(of: matrix) {
        return "\(name): \(value) at row \(row), column \(column)"
      }
    }
    return nil
  }

  /// Whether this autoencoder can rebuild activations of a model.
  ///
  /// - Parameters:
  ///   - width: of the activations.
  ///   - modelName: the model that they come from.
  /// - Returns: `warnings`, and what speaks against the pairing without ruling it out, a line each.
  /// - Throws: `Failure` of kind malformed where it cannot be: another width, a transcoder.
  public func check(width: Int, modelName: String? = nil) throws -> [String] {
    guard !isTranscoder else {
      throw Failure(.malformed, "\(path): expected an autoencoder, found a transcoder (\(className))")
    }
    guard self.width == width, parameters.encoder.rows == width else {
      throw Failure(.malformed, "\(path): expected the activations' width of \(width), found \(self.width)")
    }
    var found = warnings
    if let modelName, let trainedOn = provenance.otherModel(than: modelName) {
      found.append("trained on \(trainedOn), used with \(modelName)")
    }
    if hasUnitDecoder, let range = try sampledNorms(), range.lowerBound < 0.99 || range.upperBound > 1.01 {
      found.append(
        "decoder norms: expected 1, as \(className) is trained to have, "
          + "found \(short(range.lowerBound)) to \(short(range.upperBound))")
    }
    return found.map { "\(path): \($0)" }
  }

  /// Which other place than the one it is used at it was made for, by its configuration or else by the names
  /// of its folders, and where it is used, in words that begin with the path; nil where that is the place, and where
  /// nothing tells.
  public func misplacement(at used: Place) -> String? {
    provenance.completed(byFoldersOf: path).place(otherThan: used).map { place in
      "\(path): made for \(place), used at \(used.site == .mlpOut ? "the MLP output of layer \(used.layer)" : "\(used)")"
    }
  }

  /// The smallest and the largest norm among features from all over the decoder.
  private func sampledNorms() throws -> ClosedRange<Double>? {
    let runLength = min(16, features)
    let norms = try (0..<4).flatMap { run in
      let start = (features - runLength) * run / 3
      return try decoderNorms(parameters.decoder, features: start..<start + runLength)
    }
    guard let smallest = norms.min(), let largest = norms.max(), smallest <= largest else { return nil }
    return smallest...largest
  }

  private static func read(_ saved: SavedAutoencoder) throws -> AutoencoderDescription {
    let weights = saved.weights
    switch weights.container {
    case .torch:
      if weights.has("encoder_linear.weight") { return try readGoodfire(saved) }
      if let configuration = try attentionOutputConfiguration(saved) {
        return try readAttentionOutput(saved, configuration)
      }
      return try isQwenScope(saved) ? readQwenScope(saved) : readDictionaryLearning(saved)
    case .numpy: return try readGemmaScope(saved)
    case .safetensors:
      if weights.has("w_enc") { return try readGemmaScope(saved) }
      if weights.has("encoder.weight") {
        return weights.has("decoder.weight") ? try readLlamaScope(saved) : try readSparsify(saved)
      }
      return try readSAELens(saved)
    }
  }
}

/// Three significant digits.
func short(_ value: Double) -> String {
  guard value.isFinite, value != 0 else { return "\(value)" }
  var scale = 1.0
  while abs(value) * scale < 100 { scale *= 10 }
  return "\((value * scale).rounded() / scale)"
}
