import SystemIO
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
  public let vocabularySize: Int
  /// What the rows of the embedding matrix are multiplied by.
  public let embeddingScale: Float
  /// How many positions have a row of their own that is added to the embedding; nil where none has.
  public let learnedPositions: Int?
  /// Before attention, before the MLP and before the head; of queries and keys and behind attention and MLP where the
  /// weights have such norms.
  public let norm: Normalization
  /// Layer by layer.
  public let attentions: [LayerAttention]
  public let mlp: MLP
  public let wiring: Wiring
  /// Where there is one, softCap · tanh(logit / softCap) takes the logit's place.
  public let logitSoftCap: Float?
  /// The output head is the embedding matrix itself, unless the weights have a head of their own.
  public let tiesHead: Bool
  /// Where each weight lies in a checkpoint.
  public let weights: WeightTable
  /// What a user should know of the model's config.json, a sentence each.
  public let warnings: [String]

  public var layerCount: Int { attentions.count }

  /// How wide attention is, in every layer the same.
  public var attention: AttentionShape { attentions[0].shape }

  /// The width of the activation at a site.
  public func width(of site: Site) -> Int { site == .attnZ ? attention.queryWidth : width }

  /// The sites that a layer has.
  public var sites: [Site] { wiring == .parallel ? Site.allCases.filter { $0 != .residMid } : Site.allCases }

  /// - Throws: `Failure` of kind usage that names a site which this model does not have.
  public func check(_ asked: some Sequence<Site>) throws(Failure) {
    guard let site = asked.first(where: { !sites.contains($0) }) else { return }
    throw Failure(
      .usage,
      "site \(site.rawValue): a \(family) model does not have it, because its MLP and attention read the same input: "
        + "expected \(sites.map(\.rawValue).joined(separator: ", "))")
  }
}

/// What attention is in one layer.
public struct LayerAttention: Equatable, Sendable {
  public let shape: AttentionShape
  public let rotary: RotaryEmbedding

  public init(_ shape: AttentionShape, _ rotary: RotaryEmbedding) {
    (self.shape, self.rotary) = (shape, rotary)
  }
}

public enum RotaryEmbedding: Equatable, Sendable {
  /// Queries and keys are not turned.
  case none
  /// Dimension i of each head and dimension i + count turned against one another by position · inverseFrequencies[i],
  /// where count is how many frequencies there are; those behind them are left as they are.
  case halves(_ inverseFrequencies: [Double])
}

public enum MLP: Equatable, Sendable {
  /// W_down · (f(W_gate · x) ∘ W_up · x), `width` wide inside.
  case gated(width: Int, ActivationFunction)
  /// W_down · f(W_up · x), `width` wide inside.
  case plain(width: Int, ActivationFunction)

  /// The width inside.
  public var width: Int {
    switch self {
    case .gated(let width, _), .plain(let width, _): width
    }
  }
}

public enum Wiring: Equatable, Sendable {
  /// Attention adds to the residual stream, then the MLP, which reads the sum.
  case sequential
  /// Attention and MLP both read the residual stream, and both add to it.
  case parallel
}
