import TensorStream

/// A recorded position at which a feature, or a dimension, has a value that is not 0, and what the gradients record knows
/// around it.
public struct FeatureContext: Sendable {
  /// Another recorded position of the sample.
  public struct Neighbour: Sendable {
    public let position: Int32
    public let token: Int32
    /// Of the same feature; nil where the stream has no activations.
    public let activation: Float?
  }

  public let sample: Int64
  public let position: Int32
  /// The token's id.
  public let token: Int32
  /// How many predictions the sample's loss sums over: one fewer than its tokens.
  public let predictions: Int32
  /// nil where the stream has no activations.
  public let activation: Float?
  public let gradient: Double
  /// Within the window, ascending.
  public let neighbours: [Neighbour]
  /// The sample's last recorded position, or the last one of the window.
  public let lastKnownPosition: Int32

  /// Activation times gradient.
  public var attribution: Double? { activation.map { Double($0) * gradient } }
}

/// A context among those of its feature.
public struct RankedContext: Sendable {
  /// Counted from 1, among all or, of one that was drawn, among those drawn from its quantile.
  public let rank: Int
  /// Counted from 1, which has the largest; nil of a context that is there because its value is among the largest.
  public let quantile: Int?
  public let context: FeatureContext
}
