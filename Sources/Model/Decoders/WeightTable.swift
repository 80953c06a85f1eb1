/// The weights of a decoder, whatever a checkpoint calls them.
public enum WeightSlot: Hashable, Sendable, CaseIterable {
  case embedding, positions, finalNorm, finalNormBias, head
  // One of each for every layer.
  case attentionNorm, attentionNormBias
  case query, queryBias, queryNorm, key, keyBias, keyNorm, value, valueBias
  case attentionOutput, attentionOutputBias
  /// The norm behind attention, of what it adds to the stream.
  case attentionPostNorm
  case mlpNorm, mlpNormBias
  case gate, gateBias, up, upBias, down, downBias
  /// The norm behind the MLP, of what it adds to the stream.
  case mlpPostNorm

  var isOfLayer: Bool { ![.embedding, .positions, .finalNorm, .finalNormBias, .head].contains(self) }
}

/// Which outputs of a matrix, or elements of a vector, are meant, where several weights share one tensor.
public enum WeightPart: Equatable, Sendable {
  case whole
  case range(Range<Int>)
  /// Of each group of so many, one group after another: of weights that are fused head by head.
  case ofEach(Int, Range<Int>)

  /// - Parameter count: of the tensor.
  package func rows(of count: Int) -> [Range<Int>] {
    switch self {
    case .whole: [0..<count]
    case .range(let rows): [rows]
    case .ofEach(let group, let rows):
      stride(from: 0, to: count, by: group).map { $0 + rows.lowerBound..<$0 + rows.upperBound }
    }
  }
}

/// Where a weight lies in a checkpoint.
public struct WeightSource: Equatable, Sendable {
  /// The tensor's name, with `{layer}` in the place of the layer's number.
  public let name: String
  /// As the checkpoint has it: (out, in) of a matrix, as PyTorch's Linear keeps it, unless it is transposed; [n] of a
  /// vector.
  public let shape: [Int]
  /// Whether the checkpoint has (in, out), as GPT-2's Conv1D keeps it.
  public let isTransposed: Bool
  public let part: WeightPart
  /// Whether a model is complete without it, which then has zeros there.
  public let isOptional: Bool

  public init(
    _ name: String, _ shape: [Int], isTransposed: Bool = false, part: WeightPart = .whole, isOptional: Bool = false
  ) {
    precondition((1...2).contains(shape.count))
    precondition(part.rows(of: shape[isTransposed ? 1 : 0]).allSatisfy { $0.upperBound <= shape[isTransposed ? 1 : 0] })
    self.name = name
    self.shape = shape
    self.isTransposed = isTransposed
    self.part = part
    self.isOptional = isOptional
  }

  /// The name of a layer's own tensor.
  func name(_ layer: Int) -> String {
    name.split(separator: "{layer}", omittingEmptySubsequences: false).joined(separator: "\(layer)")
  }
}

/// Every weight of a model by what it is for, and the names and shapes of the tensors that a checkpoint must have.
public struct WeightTable: Equatable, Sendable {
  private let sources: [WeightSlot: WeightSource]
  /// Before the names of all tensors but the head's; a file may have them without.
  let prefix: String
  private let renamed: [String: String]
  private let withoutEffect: [String]
  private let layerPrefixes: [String]
  /// The shapes of all tensors by name; the head too where it is the embedding matrix.
  package let shapes: [String: [Int]]
  /// Those of `shapes` that a model is complete without, taken for zeros where none of them is there.
  package let optionalNames: Set<String>

  /// - Parameters:
  ///   - prefix: such as `model.`, which transformers puts before names or takes away, as a file has them.
  ///   - renamed: what older files have at the beginning of names instead, and what it means.
  ///   - withoutEffect: parts of the names of tensors that files of this family have besides and that do not matter.
  public init(
    _ sources: [WeightSlot: WeightSource], layerCount: Int, prefix: String, renamed: [String: String] = [:],
    withoutEffect: [String] = []
  ) {
    self.sources = sources
    self.prefix = prefix
    self.renamed = renamed
    self.withoutEffect = withoutEffect
    var shapes: [String: [Int]] = [:]
    var optionalNames: Set<String> = []
    for (slot, source) in sources {
      for layer in slot.isOfLayer ? 0..<layerCount : 0..<1 {
        let name = source.name(layer)
        precondition(shapes[name] == nil || shapes[name] == source.shape, "\(name) has two shapes")
        shapes[name] = source.shape
        if source.isOptional { optionalNames.insert(name) }
      }
    }
    self.shapes = shapes
    self.optionalNames = optionalNames
    let templates = sources.filter(\.key.isOfLayer).values.map(\.name)
    layerPrefixes = Set(templates.compactMap { $0.split(separator: "{layer}").first.map(String.init) }).sorted()
  }

  /// Nil for a weight that the family does not have.
  subscript(_ slot: WeightSlot) -> WeightSource? { sources[slot] }

  /// The name of a weight that every family has, one for the whole model.
  func name(_ slot: WeightSlot) -> String { sources[slot]!.name }

  /// The name that a tensor of a file means, with the prefix before it or taken away as transformers does it; nil where
  /// it is no tensor of this model.
  ///
  /// HF: core_model_loading.py, rename_source_key.
  package func canonicalName(_ name: String) -> String? {
    let name = currentName(name)
    if name.hasPrefix(prefix), shapes[String(name.dropFirst(prefix.count))] != nil {
      return String(name.dropFirst(prefix.count))
    }
    if shapes[prefix + name] != nil { return prefix + name }
    return shapes[name] == nil ? nil : name
  }

  private func currentName(_ name: String) -> String {
    guard let (old, new) = renamed.first(where: { name.hasPrefix($0.key) }) else { return name }
    return new + name.dropFirst(old.count)
  }

  /// The layer whose tensor a file's name is, also beyond the last; nil where it is none's.
  package func layer(of name: String) -> Int? {
    let name = currentName(name)
    for name in [name, prefix + name] {
      guard let layers = layerPrefixes.first(where: name.hasPrefix) else { continue }
      // No model has so many that one more could overflow.
      return Int(name.dropFirst(layers.count).prefix { $0 != "." }).flatMap { (0..<1 << 24).contains($0) ? $0 : nil }
    }
    return nil
  }

  /// Whether a tensor beside the model's own is one that this family is known to ignore.
  package func isWithoutEffect(_ name: String) -> Bool { withoutEffect.contains { name.contains($0) } }
}
