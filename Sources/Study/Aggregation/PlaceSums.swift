import TensorStream

/// What is gathered of the gradients at one place, in Double: what partial aggregates are made of.
public struct PlaceSums: Sendable {
  /// The number of dimensions or features.
  public let width: Int
  /// Of the modes in their order, each.
  public internal(set) var statistics: [any Statistic]
  /// Σ w
  public internal(set) var weight = 0.0
  public internal(set) var positions = 0
  public internal(set) var samples = SampleNumbers()
  /// The summed loss in nats and its predictions, over the samples whose loss is known.
  public internal(set) var loss = 0.0
  public internal(set) var predictions = 0

  init(width: Int, modes: Set<AveragingMode>, statistics: [any Statistic.Type]) {
    self.width = width
    self.statistics = modes.sorted().flatMap { mode in statistics.map { $0.init(mode, width: width) } }
  }

  /// The finished average of that mode.
  public func average(_ mode: AveragingMode) -> [Double] {
    let averages = statistics.filter { $0.mode == mode }.flatMap { $0.averages(weight: weight) }
    return averages.first { $0.value == mode.names.average }!.numbers
  }

  /// Adds rows of the current unit, (rows, width), each element multiplied by `factor` ≥ 0.
  mutating func add(_ gradients: UnsafePointer<Float>, rows: Int, factor: Double) {
    for row in 0..<rows {
      for i in statistics.indices { statistics[i].add(row: gradients + row * width, factor: factor) }
    }
  }

  /// Adds what rows came to in that mode, [width].
  mutating func add(total: [Double], _ mode: AveragingMode) {
    precondition(total.count == width)
    total.withUnsafeBufferPointer { total in
      for i in statistics.indices where statistics[i].mode == mode { statistics[i].add(total: total.baseAddress!) }
    }
  }

  mutating func endUnit(weight: Double) {
    for i in statistics.indices { statistics[i].endUnit(weight: weight) }
  }
}
