import SystemIO
import TensorFiles

/// The tensors of a checkpoint's files by the names of `WeightTable`: each is found once, of the type and shape that is
/// needed, and nothing that is left over goes without a word.
struct NamedTensors {
  private(set) var tensors: [String: StoredTensor] = [:]
  /// Where each lies, in words: the file, and the name that it has there.
  private(set) var places: [String: String] = [:]
  private(set) var warnings: [String] = []
  private var ownHead = true
  private let head: String

  /// - Throws: `Failure` of kind malformed that names the first tensor by name that is missing, is of another type or
  ///   shape or is there twice.
  init(_ files: WeightFiles, _ description: DecoderDescription) throws {
    let expected = description.weights
    head = expected.name(.head)
    var unused: [String] = []
    for (name, (tensor, path)) in files.tensors.sorted(by: { $0.key < $1.key }) {
      guard let canonical = expected.canonicalName(name) else {
        unused.append(name)
        continue
      }
      guard tensors.updateValue(tensor, forKey: canonical) == nil else {
        throw Failure(
          .malformed,
          "\(path): tensor \(name): another one of the same meaning is there, with or without \(expected.prefix)")
      }
      places[canonical] = "\(path): tensor \(name)"
    }
    warnings = try checkUnused(unused, description, in: files.path)
    findTied(description)
    try checkComplete(description, unused: unused, in: files.path)
    try compareHead(description, in: files.path)
  }

  /// A matrix that config.json calls tied may be stored under either name; where both are there, both count.
  ///
  /// HF: modeling_utils.py, PreTrainedModel.tie_weights.
  private mutating func findTied(_ description: DecoderDescription) {
    guard description.tiesHead else { return }
    let embedding = description.weights.name(.embedding)
    for (name, other) in [(embedding, head), (head, embedding)] where tensors[name] == nil {
      (tensors[name], places[name]) = (tensors[other], places[other])
      ownHead = false
    }
  }

  private mutating func checkComplete(
    _ description: DecoderDescription, unused: [String], in path: String
  ) throws {
    let optionalNames = description.weights.optionalNames
    let lacksBiases = !optionalNames.isEmpty && optionalNames.allSatisfy { tensors[$0] == nil }
    for (name, shape) in description.weights.shapes.sorted(by: { $0.key < $1.key }) {
      guard let tensor = tensors[name] else {
        if lacksBiases, optionalNames.contains(name) { continue }
        throw Failure(.malformed, "\(path): tensor \(name) is missing\(hint(name, unused))")
      }
      guard [.f32, .bf16, .f16].contains(tensor.type) else {
        let isQuantized = [ElementType.i8, .u8, .i32, .f8e4m3, .f8e5m2].contains(tensor.type)
        throw Failure(
          .malformed,
          "\(places[name]!): expected dtype F32, BF16 or F16, found \(tensor.type.rawValue)"
            + (isQuantized ? ": quantised weights are not supported" : ""))
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
        "\(path): has no \(optionalNames.min()!) and none like it: taken for zeros, as transformers does for "
          + description.family
      )
    }
  }

  /// What may be the missing tensor under another name.
  private func hint(_ name: String, _ unused: [String]) -> String {
    if name == head, unused.isEmpty {
      return "; config.json's tie_word_embeddings does not make the embedding the head"
    }
    guard let other = unused.first(where: { $0.hasSuffix(".\(name)") }) else { return "" }
    return "; \(other) is there, whose prefix transformers does not take away either"
  }

  /// A head of its own where config.json promises none is used, as transformers 5 does.
  private mutating func compareHead(_ description: DecoderDescription, in path: String) throws {
    guard description.tiesHead, ownHead else { return }
    let (embedding, own) = (tensors[description.weights.name(.embedding)]!, tensors[head]!)
    ownHead =
      try own.type != embedding.type || WeightIdentity.samples(of: own) != WeightIdentity.samples(of: embedding)
    guard ownHead else { return }
    warnings.append(
      "\(path): \(self.head) differs from the embedding, which config.json calls tied: used as it is stored")
  }

  /// The hash of all tensors in the order of their names, a head that is the embedding left out.
  func identity() throws -> String {
    var identity = WeightIdentity()
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) where name != head || ownHead {
      try identity.add(name, tensor)
    }
    return identity.hexadecimal
  }
}
