import CVectorMath
import GradientStatistics

/// The weighted sums of the gradients at one place, in Double: what partial aggregates are made of.
public struct PlaceSums: Sendable {
  /// The number of dimensions or features.
  public let width: Int
  /// By mode: Σ w·c·g or Σ w·|c·g|, [width].
  public internal(set) var sums: [AveragingMode: [Double]]
  /// Σ w
  public internal(set) var weight = 0.0
  public internal(set) var positions = 0
  public internal(set) var samples = SampleNumbers()
  /// The summed loss in nats and its predictions, over the samples whose loss is known.
  public internal(set) var loss = 0.0
  public internal(set) var predictions = 0

  init(width: Int, modes: Set<AveragingMode>) {
    self.width = width
    sums = Dictionary(uniqueKeysWithValues: modes.map { ($0, [Double](repeating: 0, count: width)) })
  }

  /// The finished average of that mode.
  public func average(_ mode: AveragingMode) -> [Double] {
    sums[mode]!.map { $0 / weight }
  }

  mutating func add(_ other: [AveragingMode: [Double]]) {
    for (mode, other) in other {
      sums[mode]!.withUnsafeMutableBufferPointer { sums in
        for i in 0..<sums.count { sums[i] += other[i] }
      }
    }
  }

  /// Adds `rows` rows of gradients, each element multiplied by `factor` ≥ 0.
  mutating func add(_ gradients: UnsafePointer<Float>, rows: Int, factor: Double) {
    for row in 0..<rows {
      sums[.mean]?.withUnsafeMutableBufferPointer {
        vector_accumulate($0.baseAddress!, gradients + row * $0.count, $0.count, factor)
      }
      sums[.meanAbsolute]?.withUnsafeMutableBufferPointer {
        vector_accumulate_magnitude($0.baseAddress!, gradients + row * $0.count, $0.count, factor)
      }
    }
  }
}
