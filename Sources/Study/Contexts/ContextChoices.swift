import Aggregation

/// Which contexts of each feature are looked for.
public struct ContextChoices: Sendable {
  /// Contexts drawn at random from parts of the range, beside the largest.
  public struct Draw: Sendable {
    /// How many parts of equally many positions.
    public let quantiles: Int
    public let perQuantile: Int
    /// Another one draws others.
    public let seed: UInt64

    public init(quantiles: Int, perQuantile: Int, seed: UInt64) {
      precondition(quantiles > 0 && perQuantile > 0)
      (self.quantiles, self.perQuantile, self.seed) = (quantiles, perQuantile, seed)
    }

    /// How many positions, drawn from all, stand for all of them: where the range is cut is known the better the more
    /// there are, and each takes some hundred bytes.
    public var sampleSize: Int { max(64, 8 * quantiles * perQuantile) }
  }

  /// The value whose magnitude ranks positions.
  public let quantity: Quantity
  /// How many of the largest.
  public let count: Int
  /// Whether a sample may have several of a feature's contexts.
  public let repeatsSamples: Bool
  /// How many positions before and behind a context are kept with it.
  public let window: Int
  public let draw: Draw?

  public init(_ quantity: Quantity, count: Int, repeatsSamples: Bool = false, window: Int, draw: Draw? = nil) {
    precondition(count > 0 && window >= 0)
    (self.quantity, self.count, self.repeatsSamples) = (quantity, count, repeatsSamples)
    (self.window, self.draw) = (window, draw)
  }
}
