import TensorStream

/// What is gathered of the values x at a place, merged with what others gathered, and in the end made into averages.
///
/// A statistic is fed one independent unit after another: the unit's rows, or what they come to, and then its end. All
/// that it holds are sums, so that partial results merge exactly; it divides only what it gives out.
///
/// A new one is a type in a file beside this, with its tensors' names, an entry in `GradientSums.statistics`, and one in
/// the laws that every statistic obeys (Tests/Study/AggregationTests/StatisticLawsTests.swift).
public protocol Statistic: Sendable {
  /// Whether all of a unit's rows must have come when the unit ends. Otherwise they may come later as a total, and
  /// those of many units in one, as it suits the products with a decoder.
  static var needsUnitsApart: Bool { get }

  /// Of nothing: merging it changes nothing.
  init(_ mode: AveragingMode, width: Int)

  var mode: AveragingMode { get }
  /// The number of dimensions or features.
  var width: Int { get }

  /// Adds a row, [width], each element of which counts `factor` ≥ 0 times, factor being w·c.
  mutating func add(row x: UnsafePointer<Float>, factor: Double)

  /// Adds what rows come to: Σ factor·x, or Σ factor·|x| in mode `meanAbsolute`, [width].
  mutating func add(total: UnsafePointer<Double>)

  /// Tells that what comes next is of another unit.
  /// - Parameter weight: Σ w over the unit's rows.
  mutating func endUnit(weight: Double)

  /// Adds what `other`, of the same mode and width, was fed.
  mutating func merge(_ other: Self)

  /// All that it holds, as tensors of an aggregates record.
  var tensors: [PlaceNumbers] { get }

  /// Reads what `tensors` has.
  /// - Parameter read: gives the tensor of that kind, which must have so many elements.
  init(_ mode: AveragingMode, width: Int, reading read: (PlaceValue, Int) throws -> [Double]) throws

  /// What people want to know, [width] each.
  /// - Parameter weight: Σ w over all rows.
  func averages(weight: Double) -> [PlaceNumbers]
}

/// Numbers of a place, and what they are.
public typealias PlaceNumbers = (value: PlaceValue, numbers: [Double])

extension Statistic {
  /// Adds what the statistic held that wrote these tensors.
  mutating func merge(reading read: (PlaceValue, Int) throws -> [Double]) throws {
    merge(try Self(mode, width: width, reading: read))
  }
}
