import SparseAutoencoders
import SystemIO
import TensorOperations
import TestSupport
import Testing

/// What files of other years and forks hold. D = 4, F = 6.
@Suite struct DictionaryLearningTests {
  /// A BatchTopKSAE in the current layout: the bytes of both matrices are 4 rows of 6.
  private static func batchTopK(_ change: (inout [String: WrittenTensor]) -> Void = { _ in }) -> [String: WrittenTensor]
  {
    var tensors: [String: WrittenTensor] = [
      "encoder.weight": .floats([6, 4], strides: [1, 6]), "encoder.bias": .floats([6]),
      "decoder.weight": .floats([4, 6]), "b_dec": .floats([4]), "k": .integer(2), "threshold": .float(0.5),
    ]
    change(&tensors)
    return tensors
  }

  private let trainer = "{\"dict_class\": \"BatchTopKSAE\", \"activation_dim\": 4, \"dict_size\": 6, \"k\": 2}"

  private func open(
    _ tensors: [String: WrittenTensor], _ trainer: String? = nil
  ) throws -> SparseAutoencoder {
    try AutoencoderFolder(torch: tensors, trainer: trainer).open()
  }

  private func refusal(_ values: [String: WrittenValue], _ trainer: String? = nil) throws -> String {
    let folder = try AutoencoderFolder(torch: values, trainer: trainer)
    let failure = #expect(throws: Failure.self) { try SparseAutoencoder(folder.path) }
    let message = try #require(failure).description
    #expect(message.hasPrefix(folder.path) && !message.contains("\n") && failure?.kind == .malformed)
    return message
  }

  private func refusal(_ tensors: [String: WrittenTensor], _ trainer: String? = nil) throws -> String {
    try refusal(tensors.mapValues { .tensor($0) }, trainer)
  }

  @Test func stridesDecideWhatTheBytesMean() throws {
    let current = try open(Self.batchTopK(), trainer).parameters
    // encoder.weight[i][d] is element d * 6 + i of the storage.
    let encoder = try rows(of: current.encoder)
    for d in 0..<4 { for i in 0..<6 { #expect(encoder[d][i] == Double((d * 6 + i) % 7 - 3)) } }
    // In 2024 the encoder was contiguous and the decoder a transpose.
    let older = try open(
      Self.batchTopK {
        $0["encoder.weight"] = .floats([6, 4]) { Float(($0 % 4 * 6 + $0 / 4) % 7 - 3) }
        $0["decoder.weight"] = .floats([4, 6], strides: [1, 4]) { Float(($0 % 4 * 6 + $0 / 4) % 7 - 3) }
      }, trainer
    ).parameters
    #expect(try rows(of: older.encoder) == encoder)
    #expect(try rows(of: older.decoder) == rows(of: current.decoder))
    #expect(older.encoder.lines.areColumns && !older.decoder.lines.areColumns)
  }

  @Test func everyElementTypeIsWidenedInItsOwnOrder() throws {
    let halves: [Float: UInt16] = [-3: 0xc200, -2: 0xc000, -1: 0xbc00, 0: 0, 1: 0x3c00, 2: 0x4000, 3: 0x4200]
    let value = { (index: Int) in Float(index % 7 - 3) }
    let expected = try rows(of: open(Self.batchTopK(), trainer).parameters.encoder)
    let cases: [WrittenTensor] = [
      .doubles([6, 4], strides: [1, 6]) { Double(value($0)) },
      .init(
        shape: [6, 4], strides: [1, 6], storage: "HalfStorage", bytes: (0..<24).flatMap { little(halves[value($0)]!) }),
      .init(
        shape: [6, 4], strides: [1, 6], storage: "BFloat16Storage",
        bytes: (0..<24).flatMap { little(UInt16(value($0).bitPattern >> 16)) }),
      // Every other element of a storage twice as long: neither order.
      .init(shape: [6, 4], strides: [2, 12], bytes: (0..<48).flatMap { little(value($0 / 2).bitPattern) }),
    ]
    for tensor in cases {
      let encoder = try open(Self.batchTopK { $0["encoder.weight"] = tensor }, trainer).parameters.encoder
      #expect(try rows(of: encoder) == expected, "\(tensor.storage)")
      #expect(try Matrix(encoder, asFloat: true).address != encoder.bytes().baseAddress)
    }
  }

  @Test func aThresholdThatWasNeverMeasuredIsARelu() throws {
    let autoencoder = try open(Self.batchTopK { $0["threshold"] = .float(-1) }, trainer)
    guard case .threshold(-1) = autoencoder.parameters.activation else { throw Unexpected() }
    #expect(autoencoder.warnings.count == 1 && autoencoder.warnings[0].hasPrefix("threshold -1.0: training ended"))
    #expect(try autoencoder.check(width: 4).contains { $0.contains("threshold -1.0") })
  }

  private struct Unexpected: Error {}

  @Test func decoderNormsThatTrainingWouldNotLeave() throws {
    let found = try open(Self.batchTopK(), trainer).check(width: 4)
    #expect(found.count == 1 && found[0].contains("decoder norms: expected 1"))
    let unit = Self.batchTopK { $0["decoder.weight"] = .floats([4, 6]) { $0 < 6 ? 1 : 0 } }
    #expect(try open(unit, trainer).check(width: 4).isEmpty)
  }

  @Test func topKAndBatchTopKAreToldByTheConfiguration() throws {
    #expect(try refusal(Self.batchTopK()).contains("tells AutoEncoderTopK from BatchTopKSAE, found none"))
    for (trainer, name) in [("TrainerTopK", "AutoEncoderTopK"), ("TrainerBatchTopK", "BatchTopKSAE")] {
      let autoencoder = try open(Self.batchTopK(), "{\"trainer_class\": \"\(trainer)\"}")
      #expect(autoencoder.className == name && autoencoder.k == 2)
    }
  }

  @Test func kOfTheFileAndOfTheConfiguration() throws {
    let topK = "{\"dict_class\": \"AutoEncoderTopK\", \"k\": 3}"
    let both = try open(Self.batchTopK(), "{\"dict_class\": \"BatchTopKSAE\", \"k\": 3}")
    #expect(
      try refusal(Self.batchTopK(), topK).contains("trainer.k: expected 2, as the file of the tensors says, found 3"))
    #expect(both.k == 2 && both.warnings == ["k: the configuration says 3, the file 2, which is used"])
    let configured = try open(
      Self.batchTopK {
        $0["k"] = nil; $0["threshold"] = nil
      }, topK)
    #expect(configured.k == 3 && configured.warnings.isEmpty)
    guard case .topK(3) = configured.parameters.activation else { throw Unexpected() }
    #expect(
      try refusal(Self.batchTopK { $0["k"] = nil }, "{\"dict_class\": \"AutoEncoderTopK\"}").contains("k: expected"))
    var values = Self.batchTopK().mapValues { WrittenValue.tensor($0) }
    values["k"] = .integer(5)
    values["threshold"] = .float(0.25)
    let scalars = try AutoencoderFolder(torch: values, trainer: "{\"dict_class\": \"BatchTopKSAE\"}").open()
    guard scalars.k == 5, case .threshold(0.25) = scalars.parameters.activation else { throw Unexpected() }
  }

  @Test func theDecoderOfJuly2024() throws {
    let tensors = Self.batchTopK {
      $0["decoder.weight"] = nil
      $0["decoder"] = .floats([6, 4])
    }
    let decoder = try open(tensors, "{\"dict_class\": \"AutoEncoderTopK\"}").parameters.decoder
    #expect(decoder.rows == 6 && decoder.columns == 4 && !decoder.lines.areColumns)
  }

  @Test func gatedWithoutMagnitudes() throws {
    let parameters = try open([
      "encoder.weight": .floats([6, 4]), "decoder.weight": .floats([4, 6]), "decoder_bias": .floats([4]),
      "gate_bias": .floats([6]), "mag_bias": .floats([6]),
    ]).parameters
    guard case .gated(_, let factors, _) = parameters.activation else { throw Unexpected() }
    #expect(factors == [1, 1, 1, 1, 1, 1] && parameters.inputBias != nil && parameters.encoderBias == nil)
  }

  @Test func aBackupIsScaledBack() throws {
    let backup: [String: WrittenValue] = [
      "ae": .dictionary(Self.batchTopK().mapValues { .tensor($0) }), "step": .integer(1000), "norm_factor": .float(2.5),
    ]
    let autoencoder = try AutoencoderFolder(torch: backup, trainer: trainer).open()
    let finished = try open(Self.batchTopK(), trainer)
    guard case .threshold(1.25) = autoencoder.parameters.activation else { throw Unexpected() }
    #expect(autoencoder.parameters.outputBias == finished.parameters.outputBias.map { $0 * 2.5 })
    #expect(autoencoder.parameters.encoderBias == finished.parameters.encoderBias?.map { $0 * 2.5 })
    #expect(try rows(of: autoencoder.parameters.encoder) == rows(of: finished.parameters.encoder))
    #expect(autoencoder.warnings.count == 1 && autoencoder.warnings[0].contains("unfinished training, at step 1000"))
  }

  @Test func aForksNormalizerMustBeOff() throws {
    let off = Self.batchTopK {
      $0["activation_mean"] = .floats([4]) { _ in .nan }
      $0["activation_std"] = .floats([4]) { _ in .nan }
      $0["target_rms"] = .float(1)
    }
    #expect(try open(off, trainer).k == 2)
    var on = off
    for name in ["activation_mean", "activation_std"] { on[name] = .floats([4]) { _ in 1 } }
    #expect(try refusal(on, trainer).contains("found an input normaliser"))
  }

  @Test func refusals() throws {
    func message(_ trainer: String? = nil, _ change: (inout [String: WrittenTensor]) -> Void) throws -> String {
      try refusal(Self.batchTopK(change), trainer ?? self.trainer)
    }
    #expect(try message { $0["threshold"] = nil }.contains("threshold: expected one, found none"))
    #expect(try message { $0["threshold"] = .float(.nan) }.contains("threshold: expected a number, found nan"))
    #expect(try message { $0["b_dec"] = .floats([5]) }.contains("expected 4, as the encoder has, found 5"))
    #expect(
      try message { $0["b_dec"] = .floats([4, 1]) }.contains("tensor b_dec: expected a vector, found shape [4, 1]"))
    #expect(try message { $0["decoder.weight"] = .floats([6, 4]) }.contains("the decoder's features: expected 6"))
    #expect(try message { $0["decoder.weight"] = nil }.contains("expected a tensor decoder.weight"))
    #expect(try message { $0["encoder.weight"] = .floats([24]) }.contains("expected a matrix, found shape [24]"))
    #expect(try message { $0["encoder.weight"] = .floats([1, 6, 4]) }.contains("crosscoder"))
    #expect(try message { $0["encoder.weight"]!.storage = "IntStorage" }.contains("found I32"))
    #expect(
      try message { $0["encoder.weight"] = .init(shape: [6, 1 << 30], strides: [0, 0], bytes: [0, 0, 0, 0]) }
        .contains("expected elements of its own"))
    #expect(try message { $0["aes.layer_3.b_dec"] = .floats([4]) }.contains("a suite of them"))
    #expect(try message("{\"dict_class\": \"CrossCoder\"}") { _ in }.contains("found CrossCoder"))
    #expect(try message("{\"dict_class\": \"AutoEncoder\"}") { _ in }.contains("those of AutoEncoderTopK"))
    #expect(
      try message("{\"dict_class\": \"BatchTopKSAE\", \"dict_size\": 7}") { _ in }
        .contains("dict_size: expected 6, as the tensors have, found 7"))
    #expect(
      try message("{\"dict_class\": \"AutoEncoderTopK\"}") { $0["k"] = .integer(7) }.contains("k: expected 1 to 6"))
    #expect(try message("{\"dict_class\":}") { _ in }.contains("config.json: not JSON"))
    #expect(
      try refusal(["something": .floats([2])]).contains("expected the tensors of an autoencoder, found something"))
  }

  @Test func aDecoderRowOfNormZeroIsLeftAlone() throws {
    let autoencoder = try open([
      "encoder.weight": .floats([6, 4]), "encoder.bias": .floats([6]), "bias": .floats([4]),
      "decoder.weight": .floats([4, 6]) { $0 % 6 == 1 ? 0 : 2 },
    ])
    #expect(autoencoder.parameters.preactivationFactors == [4, 1, 4, 4, 4, 4])
    #expect(autoencoder.parameters.decoderFactors == [0.25, 1, 0.25, 0.25, 0.25, 0.25])
    #expect(autoencoder.warnings.count == 2)
  }
}
