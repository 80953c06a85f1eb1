/// The weights of a decoder, whatever a checkpoint calls them.
public enum WeightSlot: Hashable, Sendable, CaseIterable {
  case embedding, finalNorm, head
  // One of each for every layer.
  case attentionNorm, query, queryBias, key, keyBias, value, valueBias, attentionOutput
  case mlpNorm, gate, up, down

  var isOfLayer: Bool { ![.embedding, .finalNorm, .head].contains(self) }
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
  /// Which outputs of a matrix, or elements of a vector, are meant, where several weights share one tensor.
  public let slice: Range<Int>?
  /// Whether a model is complete without it, which then has zeros there.
  public let isOptional: Bool

  public init(
    _ name: String, _ shape: [Int], isTransposed: Bool = false, slice: Range<Int>? = nil, isOptional: Bool = false
  ) {
    precondition((1...2).contains(shape.count) && (slice == nil || slice!.upperBound <= shape[isTransposed ? 1 : 0]))
    self.name = name
    self.shape = shape
    self.isTransposed = isTransposed
    self.slice = slice
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
  private let prefix: String
  /// The shapes of all tensors by name; the head too where it is the embedding matrix.
  package let shapes: [String: [Int]]
  /// Those of `shapes` that a model is complete without, taken for zeros where none of them is there.
  package let optionalNames: Set<String>

  /// - Parameter prefix: `model.`, which transformers puts before names or takes away, as a file has them.
  public init(_ sources: [WeightSlot: WeightSource], layerCount: Int, prefix: String) {
    self.sources = sources
    self.prefix = prefix
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
    if name.hasPrefix(prefix), shapes[String(name.dropFirst(prefix.count))] != nil {
      return String(name.dropFirst(prefix.count))
    }
    if shapes[prefix + name] != nil { return prefix + name }
    return shapes[name] == nil ? nil : name
  }
}
