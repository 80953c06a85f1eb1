import TensorStream

/// What is gathered of the values at one place, in Double: what partial aggregates are made of.
public struct PlaceSums: Sendable {
  /// The number of dimensions or features.
  public let width: Int
  /// In the order of `Measure.all`.
  public internal(set) var measures: [MeasureSums]
  /// Σ w
  public internal(set) var weight = 0.0
  public internal(set) var units = Units()
  public internal(set) var positions = 0
  public internal(set) var samples = SampleNumbers()
  /// The summed loss in nats and its predictions, over the samples whose loss is known.
  public internal(set) var loss = 0.0
  public internal(set) var predictions = 0
  /// The unit whose samples are being added.
  var current: UnitKey?

  /// - Parameter tellsFirst: whether what position 0 adds is told apart.
  init(width: Int, measures: [Measure], tellsFirst: Bool) {
    self.width = width
    self.measures = measures.map { MeasureSums($0, width: width, tellsFirst: tellsFirst) }
  }

  subscript(_ measure: Measure) -> MeasureSums {
    get { measures[index(measure)] }
    _modify { yield &measures[index(measure)] }
  }

  private func index(_ measure: Measure) -> Int { measures.firstIndex { $0.measure == measure }! }

  /// The sums of two measures that are there, to be changed at the same time.
  mutating func withSums(
    of one: Measure, and other: Measure, _ body: (inout MeasureSums, inout MeasureSums) -> Void
  ) {
    let (first, second) = (index(one), index(other))
    precondition(first != second)
    measures.withUnsafeMutableBufferPointer { measures in body(&measures[first], &measures[second]) }
  }

  func has(_ measure: Measure) -> Bool { measures.contains { $0.measure == measure } }

  /// The finished average of that measure.
  public func average(_ measure: Measure) -> [Double] { self[measure].total.map { $0 / weight } }

  /// The finished average of gradients.
  public func average(_ mode: AveragingMode) -> [Double] { average(.average(.gradient, mode)) }

  /// Adds rows of gradients of a unit, (rows, width), each element multiplied by `factor` ≥ 0.
  mutating func add(gradients: UnsafePointer<Float>, rows: Int, factor: Double, of key: UnitKey) {
    for i in measures.indices where measures[i].measure.quantity == .gradient {
      measures[i].add(gradients, rows: rows, factor: factor, of: key)
    }
  }
}
