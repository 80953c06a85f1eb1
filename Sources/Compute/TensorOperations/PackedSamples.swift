/// Where the samples of a batch lie in its rows, one after another without padding between them.
public struct PackedSamples: Equatable, Sendable {
  /// The rows of one sample.
  public struct Sample: Equatable, Sendable {
    public let rows: Range<Int>
    /// How many rows, from the first on, are real tokens: the only ones that may be attended to.
    public let valid: Int

    public init(rows: Range<Int>, valid: Int) {
      precondition(valid >= 1 && valid <= rows.count)
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

  /// Each row's position in its sample.
  public var positions: [Int32] {
    samples.flatMap { sample in (0..<sample.rows.count).map(Int32.init) }
  }
}
