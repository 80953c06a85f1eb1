import SystemIO
import TensorFiles
import TensorOperations

/// The classes of saprmarks/dictionary_learning 0.1.0 (dictionary.py, trainers/*.py) and the tensors that tell them.
private enum DictionaryClass: String {
  case autoEncoder = "AutoEncoder"
  case autoEncoderNew = "AutoEncoderNew"
  case gated = "GatedAutoEncoder"
  case topK = "AutoEncoderTopK"
  case batchTopK = "BatchTopKSAE"
  case matryoshka = "MatryoshkaBatchTopKSAE"
  case jumpRelu = "JumpReluAutoEncoder"

  /// The classes that a file with these tensors can be of. Only TopK and BatchTopK look the same.
  static func candidates(_ weights: Weights) -> [DictionaryClass] {
    if weights.has("group_sizes") { return [.matryoshka] }
    if weights.has("W_enc") { return weights.has("threshold") ? [.jumpRelu] : [] }
    guard weights.has("encoder.weight") else { return [] }
    if weights.has("gate_bias") { return [.gated] }
    if weights.has("b_dec") { return [.topK, .batchTopK] }
    if weights.has("bias") { return [.autoEncoder] }
    return weights.has("decoder.bias") ? [.autoEncoderNew] : []
  }

  /// The parameters and buffers of the class, which `load_state_dict` wants all of and no others.
  var tensorNames: Set<String> {
    switch self {
    case .autoEncoder: ["bias", "encoder.weight", "encoder.bias", "decoder.weight"]
    case .autoEncoderNew: ["encoder.weight", "encoder.bias", "decoder.weight", "decoder.bias"]
    case .gated: ["decoder_bias", "r_mag", "gate_bias", "mag_bias", "encoder.weight", "decoder.weight"]
    case .topK, .batchTopK: ["b_dec", "k", "threshold", "encoder.weight", "encoder.bias", "decoder.weight"]
    case .matryoshka: ["W_enc", "b_enc", "W_dec", "b_dec", "k", "threshold", "group_sizes"]
    case .jumpRelu: ["W_enc", "b_enc", "W_dec", "b_dec", "threshold"]
    }
  }

  /// The names under which files of other years have Python numbers.
  static let numberNames: Set<String> = ["k", "threshold"]
  /// The decoder of July 2024.
  static let olderDecoder = "decoder"
  /// What jkminder's fork adds to all classes.
  static let normalizer: Set<String> = [
    "target_rms", "activation_mean", "activation_std", "activation_global_scale",
  ]

  /// The class that a trainer trains, for configurations of before August 2024 that name no class.
  static func trained(by trainer: String) -> DictionaryClass? {
    switch trainer {
    case "TrainerTopK", "TopKTrainer": .topK
    case "TrainerBatchTopK", "BatchTopKTrainer": .batchTopK
    default: nil
    }
  }
}

/// Reads the `ae.pt` and `config.json` of dictionary_learning and gives what `load_dictionary` would: a finished
/// file takes raw activations, whatever the training did to them.
func readDictionaryLearning(_ saved: SavedAutoencoder) throws -> AutoencoderDescription {
  let weights = saved.weights
  if let first = weights.tensors.keys.sorted().first(where: { $0.hasPrefix("aes.") }) {
    throw Failure(.malformed, "expected one autoencoder, found a suite of them (\(first))")
  }
  if let shape = weights.tensors["encoder.weight"]?.shape, shape.count == 3 {
    throw Failure(.malformed, "expected an autoencoder, found a crosscoder: encoder.weight has shape \(shape)")
  }
  guard let backup = weights.pickle?["ae"], let normFactor = weights.pickle?["norm_factor"] else {
    var reader = try DictionaryLearningReader(saved, weights)
    return try reader.read()
  }
  // What training writes every so often and a finished run replaces; load_dictionary fails on it.
  var reader = try DictionaryLearningReader(saved, Weights(path: weights.path, pickle: backup))
  reader.biasScale = normFactor.number ?? 1
  reader.statedInBackup = weights.pickle?["config"]?["dict_class"]?.text
  reader.warnings.append(
    "a backup of unfinished training, at step \(weights.pickle?["step"]?.integer ?? 0): "
      + "its biases and threshold have been multiplied by norm_factor \(short(reader.biasScale))")
  return try reader.read()
}

private struct DictionaryLearningReader {
  let saved: SavedAutoencoder
  let weights: Weights
  let configuration: Configuration?
  /// nil also where the configuration is somebody else's, who has no trainer in it.
  let trainer: Configuration?
  /// What training divided the activations by, where the file is yet to be scaled back.
  var biasScale = 1.0
  var statedInBackup: String?
  var warnings: [String] = []

  init(_ saved: SavedAutoencoder, _ weights: Weights) throws {
    self.saved = saved
    self.weights = weights
    configuration = try saved.configuration(named: "config.json")
    trainer = try configuration?.object("trainer")
  }

  mutating func read() throws -> AutoencoderDescription {
    let dictionaryClass = try dictionaryClass()
    let knownK = try knownK(dictionaryClass)
    let givenK = dictionaryClass == .topK && knownK == nil ? saved.options.k : nil
    let k = knownK ?? givenK
    let parameters = try parameters(dictionaryClass, k: k)
    try checkTensors(dictionaryClass)
    try trainer?.check("activation_dim", equals: parameters.encoder.rows)
    try trainer?.check("dict_size", equals: parameters.encoder.columns)
    return AutoencoderDescription(
      format: .dictionaryLearning, className: dictionaryClass.rawValue, parameters: parameters,
      k: k ?? trainer?["target_l0"]?.int, usesGivenK: givenK != nil,
      provenance: .init(
        modelName: trainer?.description("lm_name") ?? ReleaseName.model(inPath: weights.path),
        layer: trainer?.layerNumber("layer"),
        site: trainer?.description("submodule_name"),
        isInput: try configuration?.object("buffer")?.description("io") == "in"),
      warnings: warnings, hasUnitDecoder: dictionaryClass != .autoEncoder && dictionaryClass != .autoEncoderNew)
  }

  private mutating func checkTensors(_ dictionaryClass: DictionaryClass) throws {
    var expected = dictionaryClass.tensorNames
    if dictionaryClass == .topK, weights.has(DictionaryClass.olderDecoder), !weights.has("decoder.weight") {
      expected.remove("decoder.weight")
      expected.insert(DictionaryClass.olderDecoder)
    }
    if try isNormalizerOff() { expected.formUnion(DictionaryClass.normalizer) }
    try weights.refuseTensors(
      other: expected, of: dictionaryClass.rawValue, numbers: DictionaryClass.numberNames)
    warnings += weights.unreadEntries(but: DictionaryClass.numberNames)
  }

  /// What the configuration says, if the tensors agree.
  private func dictionaryClass() throws -> DictionaryClass {
    let candidates = DictionaryClass.candidates(weights)
    if let stated = try trainer?.text("dict_class") ?? statedInBackup {
      guard let dictionaryClass = DictionaryClass(rawValue: stated) else {
        throw Failure(.malformed, "dict_class: expected one that load_dictionary knows, found \(stated)")
      }
      guard candidates.contains(dictionaryClass) else {
        let found = candidates.isEmpty ? "others" : "those of \(candidates[0].rawValue)"
        throw Failure(.malformed, "dict_class \(stated): expected its tensors, found \(found): \(weights.names)")
      }
      return dictionaryClass
    }
    if let stated = try trainer?.text("trainer_class"), let dictionaryClass = DictionaryClass.trained(by: stated),
      candidates.contains(dictionaryClass)
    {
      return dictionaryClass
    }
    guard candidates.count == 1 else {
      throw Failure(
        .malformed,
        candidates.isEmpty
          ? "expected the tensors of an autoencoder, found \(weights.names)"
          : "expected a config.json beside it whose trainer.dict_class tells "
            + "\(candidates.map(\.rawValue).joined(separator: " from ")), found \(configurationInWords)")
    }
    return candidates[0]
  }

  private var configurationInWords: String {
    guard let configuration else { return "none" }
    return trainer == nil
      ? "one without a trainer, of another program: \(configuration.keys.prefix(8).joined(separator: ", "))"
      : "one without it"
  }

  /// jkminder's fork gives its classes the same names and normalises the input by buffers of the file; NaN is off.
  private func isNormalizerOff() throws -> Bool {
    guard let mean = try weights.vectorIfPresent("activation_mean"),
      let deviation = try weights.vectorIfPresent("activation_std")
    else { return false }
    guard mean.allSatisfy(\.isNaN) || deviation.allSatisfy(\.isNaN) else {
      throw Failure(
        .malformed,
        "activation_mean, activation_std: expected none or NaN, found an input normaliser (of a fork of "
          + "dictionary_learning) whose form the file does not say")
    }
    return true
  }

  /// The k of the file or of its configuration, which `load_dictionary` wants to be the same. A threshold decides in
  /// the batch's classes, so that there it is only reported.
  private mutating func knownK(_ dictionaryClass: DictionaryClass) throws -> Int? {
    guard [.topK, .batchTopK, .matryoshka].contains(dictionaryClass) else { return nil }
    let stated = try trainer?.whole("k")
    guard let stored = try weights.integer("k") else { return stated }
    if let stated, stated != stored {
      guard dictionaryClass != .topK else {
        throw trainer!.wrong("k", "expected \(stored), as the file of the tensors says, found \(stated)")
      }
      warnings.append("k: the configuration says \(stated), the file \(stored), which is used")
    }
    return stored
  }

  private mutating func parameters(_ dictionaryClass: DictionaryClass, k: Int?) throws -> AutoencoderParameters {
    switch dictionaryClass {
    case .autoEncoder:
      let decoder = try weights.matrix("decoder.weight", transposed: true)
      let factors = try loadDictionaryFactors(decoder)
      return try AutoencoderParameters(
        inputBias: bias("bias"), encoder: weights.matrix("encoder.weight", transposed: true),
        encoderBias: bias("encoder.bias"), preactivationFactors: factors?.preactivation, activation: .relu,
        decoderFactors: factors?.decoder, decoder: decoder, outputBias: bias("bias"))
    case .autoEncoderNew:
      return try AutoencoderParameters(
        inputBias: nil, encoder: weights.matrix("encoder.weight", transposed: true),
        encoderBias: bias("encoder.bias"), activation: .relu,
        decoder: weights.matrix("decoder.weight", transposed: true), outputBias: bias("decoder.bias"))
    case .gated:
      let encoder = try weights.matrix("encoder.weight", transposed: true)
      // Files of before 2024-04-26 have no r_mag, which is then 0.
      let magnitudes = try weights.vectorIfPresent("r_mag") ?? [Float](repeating: 0, count: encoder.columns)
      return try AutoencoderParameters(
        inputBias: bias("decoder_bias"), encoder: encoder, encoderBias: nil,
        activation: .gated(
          gateBias: bias("gate_bias"), magnitudeFactors: exponentials(magnitudes), magnitudeBias: bias("mag_bias")),
        decoder: weights.matrix("decoder.weight", transposed: true), outputBias: bias("decoder_bias"))
    case .topK:
      guard let k else { throw Failure(.malformed, "k: expected it in the file or in config.json, found none") }
      // In July 2024 the decoder was one tensor, F × D.
      let decoder =
        try weights.has("decoder.weight")
        ? weights.matrix("decoder.weight", transposed: true) : weights.matrix("decoder")
      return try AutoencoderParameters(
        inputBias: bias("b_dec"), encoder: weights.matrix("encoder.weight", transposed: true),
        encoderBias: bias("encoder.bias"), activation: .topK(k), decoder: decoder, outputBias: bias("b_dec"))
    case .batchTopK:
      return try AutoencoderParameters(
        inputBias: bias("b_dec"), encoder: weights.matrix("encoder.weight", transposed: true),
        encoderBias: bias("encoder.bias"), activation: threshold(),
        decoder: weights.matrix("decoder.weight", transposed: true), outputBias: bias("b_dec"))
    case .matryoshka:
      return try AutoencoderParameters(
        inputBias: bias("b_dec"), encoder: weights.matrix("W_enc"), encoderBias: bias("b_enc"),
        activation: threshold(), decoder: weights.matrix("W_dec"), outputBias: bias("b_dec"))
    case .jumpRelu:
      // b_dec is not subtracted: apply_b_dec_to_input is False unless the file came through sae_lens.
      return try AutoencoderParameters(
        inputBias: nil, encoder: weights.matrix("W_enc"), encoderBias: bias("b_enc"),
        activation: .thresholds(bias("threshold")), decoder: weights.matrix("W_dec"), outputBias: bias("b_dec"))
    }
  }

  private func bias(_ name: String) throws -> [Float] {
    let values = try weights.vector(name)
    return biasScale == 1 ? values : values.map { $0 * Float(biasScale) }
  }

  private mutating func threshold() throws -> Activation {
    guard let stored = try weights.scalar("threshold") else {
      throw Failure(
        .malformed,
        "threshold: expected one, found none: files from before 2024-12-22 have none, and their features depend on "
          + "the batch")
    }
    guard stored.isFinite else { throw Failure(.malformed, "threshold: expected a number, found \(stored)") }
    if stored < 0 {
      warnings.append(
        "threshold \(short(stored)): training ended before it was measured, so that features are active wherever "
          + "their preactivation is above 0, by far more than k")
      return .threshold(Float(stored))
    }
    return .threshold(Float(stored) * Float(biasScale))
  }

  /// `AutoEncoder.from_pretrained` gives the decoder's columns norm 1 and the features their norms.
  private mutating func loadDictionaryFactors(
    _ decoder: StoredTensor
  ) throws -> (preactivation: [Float], decoder: [Float])? {
    guard saved.options.normalizesDecoder else { return nil }
    let (factors, range, zeros) = try unitNormFactors(decoder)
    if factors != nil {
      warnings.append(
        "decoder norms \(short(range.lowerBound)) to \(short(range.upperBound)): features are multiplied by them and "
          + "gradients divided, as load_dictionary does since 2025")
    }
    if zeros > 0 { warnings.append("decoder norms: \(zeros) are 0, and their features are not rescaled") }
    return factors
  }
}
