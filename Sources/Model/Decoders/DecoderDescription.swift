import Glibc
import TensorOperations
import TensorStream

/// What decoder-only transformers differ in, as one model has it. A family's file makes one from config.json; the passes
/// know no family and read this.
///
/// Options are enumerations without defaults: a new one does not compile before every family has answered it.
public struct DecoderDescription: Equatable, Sendable {
  /// The family's name as transformers' classes have it, for messages: Qwen2.
  public let family: String
  /// D, the width of the residual stream.
  public let width: Int
  public let layerCount: Int
  public let vocabularySize: Int
  /// Before attention, before the MLP and before the head.
  public let norm: Normalization
  public let attention: AttentionShape
  public let rotary: RotaryEmbedding
  public let mlp: MLP
  public let wiring: Wiring
  /// The output head is the embedding matrix itself, unless the weights have a head of their own.
  public let tiesHead: Bool
  /// Where each weight lies in a checkpoint.
  public let weights: WeightTable
  /// What a user should know of the model's config.json, a sentence each.
  public let warnings: [String]

  /// The width of the activation at a site.
  public func width(of site: Site) -> Int { site == .attnZ ? attention.queryWidth : width }
}

public enum RotaryEmbedding: Equatable, Sendable {
  /// Angles of position · θ^(−2i/headWidth), halves of a head turned against one another (GPT-NeoX's order).
  case full(theta: Double)

  /// Of each pair, rounded to Float at each step as HF does (Qwen2RotaryEmbedding, in a model of any type: exponent,
  /// power and `inv_freq` are float32).
  func inverseFrequencies(headWidth: Int) -> [Double] {
    switch self {
    case .full(let theta):
      (0..<headWidth / 2).map { i in Double(1 / Float(pow(theta, Double(Float(2 * i) / Float(headWidth))))) }
    }
  }
}

public enum MLP: Equatable, Sendable {
  /// W_down · (silu(W_gate · x) ∘ W_up · x), `width` wide inside.
  case swiGLU(width: Int)

  /// The width inside.
  public var width: Int {
    switch self {
    case .swiGLU(let width): width
    }
  }
}

public enum Wiring: Equatable, Sendable {
  /// Attention adds to the residual stream, then the MLP, which reads the sum.
  case sequential
}
