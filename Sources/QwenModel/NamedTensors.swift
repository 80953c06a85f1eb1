import Safetensors
import StoredTensors
import SystemIO

/// The tensors of a checkpoint's files by the names of `ModelTensors`: each is found once, of the type and shape that is
/// needed, and nothing that is left over goes without a word.
struct NamedTensors {
  private(set) var tensors: [String: StoredTensor] = [:]
  /// Where each lies, in words: the file, and the name that it has there.
  private(set) var places: [String: String] = [:]
  private(set) var warnings: [String] = []
  private var ownHead = true

  /// - Throws: `Failure` of kind malformed that names the first tensor by name that is missing, is of another type or
  ///   shape or is there twice.
  init(_ files: WeightFiles, _ configuration: QwenConfiguration) throws {
    let expected = ModelTensors(configuration)
    var unused: [String] = []
    for (name, (tensor, path)) in files.tensors.sorted(by: { $0.key < $1.key }) {
      guard let canonical = expected.canonicalName(name) else {
        unused.append(name)
        continue
      }
      guard tensors.updateValue(tensor, forKey: canonical) == nil else {
        throw Failure(
          .malformed, "\(path): tensor \(name): another one of the same meaning is there, with or without model.")
      }
      places[canonical] = "\(path): tensor \(name)"
    }
    warnings = try UnusedTensors.check(unused, layerCount: configuration.layerCount, in: files.path)
    findTied(configuration)
    try checkComplete(expected, unused: unused, in: files.path)
    try compareHead(configuration, in: files.path)
  }

  /// A matrix that config.json calls tied may be stored under either name; where both are there, both count.
  ///
  /// HF: modeling_utils.py, PreTrainedModel.tie_weights.
  private mutating func findTied(_ configuration: QwenConfiguration) {
    guard configuration.tiesWordEmbeddings else { return }
    let (embedding, head) = (ModelTensors.embedding, ModelTensors.head)
    for (name, other) in [(embedding, head), (head, embedding)] where tensors[name] == nil {
      (tensors[name], places[name]) = (tensors[other], places[other])
      ownHead = false
    }
  }

  private mutating func checkComplete(_ expected: ModelTensors, unused: [String], in path: String) throws {
    let lacksBiases = expected.biases.allSatisfy { tensors[$0] == nil }
    for (name, shape) in expected.shapes.sorted(by: { $0.key < $1.key }) {
      guard let tensor = tensors[name] else {
        if lacksBiases, expected.biases.contains(name) { continue }
        throw Failure(.malformed, "\(path): tensor \(name) is missing\(Self.hint(name, unused))")
      }
      guard [.f32, .bf16, .f16].contains(tensor.type) else {
        let isQuantized = [ElementType.i8, .u8, .i32, .f8e4m3, .f8e5m2].contains(tensor.type)
        throw Failure(
          .malformed,
          "\(places[name]!): expected dtype F32, BF16 or F16, found \(tensor.type.rawValue)"
            + (isQuantized ? ": quantised weights are not read" : ""))
      }
      guard tensor.shape == shape else {
        throw Failure(
          .malformed, "\(places[name]!): expected shape \(shape) by config.json, found \(tensor.shape)")
      }
      do { tensors[name] = try tensor.contiguous() } catch let failure as Failure {
        throw failure.at(places[name]!)
      }
    }
    if lacksBiases {
      warnings.append(
        "\(path): has no biases of queries, keys and values: taken for zeros, as transformers does for Qwen2")
    }
  }

  /// What may be the missing tensor under another name.
  private static func hint(_ name: String, _ unused: [String]) -> String {
    if name == ModelTensors.head, unused.isEmpty {
      return "; config.json's tie_word_embeddings does not make the embedding the head"
    }
    guard let other = unused.first(where: { $0.hasSuffix(".\(name)") }) else { return "" }
    return "; \(other) is there, whose prefix transformers does not take away either"
  }

  /// A head of its own where config.json promises none is used, as transformers 5 does.
  private mutating func compareHead(_ configuration: QwenConfiguration, in path: String) throws {
    guard configuration.tiesWordEmbeddings, ownHead else { return }
    let (embedding, head) = (tensors[ModelTensors.embedding]!, tensors[ModelTensors.head]!)
    ownHead =
      try head.type != embedding.type || WeightIdentity.samples(of: head) != WeightIdentity.samples(of: embedding)
    guard ownHead else { return }
    warnings.append(
      "\(path): lm_head.weight differs from the embedding, which config.json calls tied: used as it is stored")
  }

  /// The hash of all tensors in the order of their names, a head that is the embedding left out.
  func identity() throws -> String {
    var identity = WeightIdentity()
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) where name != ModelTensors.head || ownHead {
      try identity.add(name, tensor)
    }
    return identity.hexadecimal
  }
}
