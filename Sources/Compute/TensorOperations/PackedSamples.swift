/// Where the samples of a batch lie in its rows, one after another, for attention: none sees another's rows. Padding
/// before a sample is one of its own here, without real tokens.
public struct PackedSamples: Equatable, Sendable {
  /// The rows of one sample.
  public struct Sample: Equatable, Sendable {
    public let rows: Range<Int>
    /// How many rows, from the first on, are real tokens: the only ones that may be attended to. Where there are none,
    /// attention's output is 0, as PyTorch's scaled_dot_product_attention has it for a row that may see nothing.
    public let valid: Int

    public init(rows: Range<Int>, valid: Int) {
      precondition(valid >= 0 && valid <= rows.count && !rows.isEmpty)
      self.rows = rows
      self.valid = valid
    }
  }

  public let samples: [Sample]

  public init(_ samples: [Sample]) {
    precondition(zip(samples, samples.dropFirst()).allSatisfy { $0.rows.upperBound == $1.rows.lowerBound })
    precondition((samples.first?.rows.lowerBound ?? 0) == 0)
    self.samples = samples
  }

  public var rowCount: Int { samples.last?.rows.upperBound ?? 0 }
}
