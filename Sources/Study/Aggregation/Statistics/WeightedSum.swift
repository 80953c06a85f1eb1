import CVectorMath
import TensorStream

/// Σ w·c·x, or Σ w·c·|x| in mode `meanAbsolute`; the average is that divided by Σ w.
public struct WeightedSum: Statistic {
  public static let needsUnitsApart = false

  public let mode: AveragingMode
  /// [width]
  public private(set) var sums: [Double]

  public init(_ mode: AveragingMode, width: Int) {
    self.mode = mode
    sums = Array(repeating: 0, count: width)
  }

  public var width: Int { sums.count }

  public mutating func add(row x: UnsafePointer<Float>, factor: Double) {
    sums.withUnsafeMutableBufferPointer { sums in
      switch mode {
      case .mean: vector_accumulate(sums.baseAddress!, x, sums.count, factor)
      case .meanAbsolute: vector_accumulate_magnitude(sums.baseAddress!, x, sums.count, factor)
      }
    }
  }

  public mutating func add(total: UnsafePointer<Double>) {
    sums.withUnsafeMutableBufferPointer { sums in
      for i in 0..<sums.count { sums[i] += total[i] }
    }
  }

  public mutating func endUnit(weight: Double) {}

  public mutating func merge(_ other: WeightedSum) {
    precondition(mode == other.mode && width == other.width)
    other.sums.withUnsafeBufferPointer { add(total: $0.baseAddress!) }
  }

  public var tensors: [PlaceNumbers] { [(mode.names.sum, sums)] }

  public init(
    _ mode: AveragingMode, width: Int, reading read: (PlaceValue, Int) throws -> [Double]
  ) throws {
    self.mode = mode
    sums = try read(mode.names.sum, width)
  }

  public func averages(weight: Double) -> [PlaceNumbers] {
    [(mode.names.average, sums.map { $0 / weight })]
  }
}
