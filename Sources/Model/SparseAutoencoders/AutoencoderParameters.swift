import SystemIO
import TensorFiles
import TensorOperations

/// What a sparse autoencoder computes with, in the same few steps for every file format. For a row x of width D:
///
///     s = normalise(x) − inputBias                              [D]
///     p = (s · encoder + encoderBias) ⊙ preactivationFactors     [F]
///     f = activation(p)                                         [F], the features
///     y = (f ⊙ decoderFactors) · decoder + outputBias           [D]
///     x̂ = denormalise(y)                                        [D], with the scale and shift of x
///
/// and, since x̂ is affine in f, for every feature i, active or not, with g = ∂L/∂x̂:
///
///     ∂L/∂f_i = outputScale(x) · decoderFactors_i · ⟨decoder_i, g⟩
///
/// What is nil leaves its step out. F features, D width; a transcoder's output may have another width.
public struct AutoencoderParameters: Sendable {
  public let inputNormalization: InputNormalization
  /// Subtracted from the normalised input: b_dec in most formats. [D]
  public let inputBias: [Float]?
  /// D × F.
  public let encoder: StoredTensor
  /// [F]
  public let encoderBias: [Float]?
  /// [F]
  public let preactivationFactors: [Float]?
  public let activation: Activation
  /// [F]
  public let decoderFactors: [Float]?
  /// F × D.
  public let decoder: StoredTensor
  /// [D]
  public let outputBias: [Float]

  /// - Throws: `Failure` where the parts do not fit together.
  init(
    inputNormalization: InputNormalization = .none, inputBias: [Float]?, encoder: StoredTensor, encoderBias: [Float]?,
    preactivationFactors: [Float]? = nil, activation: Activation, decoderFactors: [Float]? = nil, decoder: StoredTensor,
    outputBias: [Float]
  ) throws(Failure) {
    let (width, features) = (encoder.rows, encoder.columns)
    func check(_ what: String, _ found: Int?, _ expected: Int) throws(Failure) {
      guard let found, found != expected else { return }
      throw Failure(.malformed, "\(what): expected \(expected), as the encoder has, found \(found)")
    }
    guard width > 0, features > 0, decoder.columns > 0 else {
      throw Failure(.malformed, "encoder: expected a matrix, found \(width) × \(features)")
    }
    try check("the decoder's features", decoder.rows, features)
    try check("the input bias's width", inputBias?.count, width)
    try check("the encoder bias's features", encoderBias?.count, features)
    switch activation {
    case .threshold: break
    case .thresholds(let thresholds): try check("the thresholds", thresholds.count, features)
    case .topK(let k), .topMagnitudes(let k):
      guard (1...features).contains(k) else {
        throw Failure(.malformed, "k: expected 1 to \(features), the number of features, found \(k)")
      }
    case .groupMax(let groups):
      guard groups > 0, features % groups == 0 else {
        throw Failure(.malformed, "k: expected a divisor of \(features), the number of features, found \(groups)")
      }
    case .gated(let gateBias, let magnitudeFactors, let magnitudeBias):
      try check("the gate bias", gateBias.count, features)
      try check("the magnitude factors", magnitudeFactors.count, features)
      try check("the magnitude bias", magnitudeBias.count, features)
    }
    try check("the preactivation factors", preactivationFactors?.count, features)
    try check("the decoder factors", decoderFactors?.count, features)
    guard outputBias.count == decoder.columns else {
      throw Failure(
        .malformed,
        "the output bias's width: expected \(decoder.columns), as the decoder has, found \(outputBias.count)")
    }
    self.inputNormalization = inputNormalization
    self.inputBias = inputBias
    self.encoder = encoder
    self.encoderBias = encoderBias
    self.preactivationFactors = preactivationFactors
    self.activation = activation
    self.decoderFactors = decoderFactors
    self.decoder = decoder
    self.outputBias = outputBias
  }
}
