import GradientStatistics

/// The weighted sums of one layer's gradients, in Double: what partial aggregates are made of.
public struct LayerSums: Sendable {
  /// The number of dimensions or features.
  public let width: Int
  /// By mode: Σ w·c·g or Σ w·|c·g|, [width].
  public internal(set) var sums: [AveragingMode: [Double]]
  /// Σ w
  public internal(set) var weight = 0.0
  public internal(set) var positions = 0
  public internal(set) var samples = IndexRanges()
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

  /// Adds `rows` rows of gradients, each element multiplied by `factor` ≥ 0.
  mutating func add(_ gradients: UnsafePointer<Float>, rows: Int, factor: Double) {
    if sums[.mean] != nil {
      sums[.mean]!.withUnsafeMutableBufferPointer { sums in
        for row in 0..<rows { accumulate(sums, gradients + row * sums.count) { factor * Double($0) } }
      }
    }
    if sums[.meanAbsolute] != nil {
      sums[.meanAbsolute]!.withUnsafeMutableBufferPointer { sums in
        for row in 0..<rows { accumulate(sums, gradients + row * sums.count) { factor * Double($0.magnitude) } }
      }
    }
  }
}

@inline(__always)
private func accumulate(
  _ sums: UnsafeMutableBufferPointer<Double>, _ row: UnsafePointer<Float>, _ term: (Float) -> Double
) {
  let address = sums.baseAddress!
  for i in 0..<sums.count { address[i] += term(row[i]) }
}
