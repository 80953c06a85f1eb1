import Aggregation
import TensorStream

/// A statistic that needs each unit by itself, as standard errors do: with y_u = Σ w·c·x (or of |x|) and b_u = Σ w over
/// unit u's rows it holds Σ y_u², Σ y_u·b_u, Σ b_u² and the number of units.
struct UnitSquares: Statistic {
  static let needsUnitsApart = true

  private var unit: WeightedSum
  private var squares: [Double]
  private var products: [Double]
  /// Σ b_u² and the units.
  private var counts = [0.0, 0.0]

  init(_ mode: AveragingMode, width: Int) {
    unit = WeightedSum(mode, width: width)
    squares = Array(repeating: 0, count: width)
    products = squares
  }

  var mode: AveragingMode { unit.mode }
  var width: Int { unit.width }

  mutating func add(row x: UnsafePointer<Float>, factor: Double) { unit.add(row: x, factor: factor) }
  mutating func add(total: UnsafePointer<Double>) { unit.add(total: total) }

  mutating func endUnit(weight: Double) {
    guard weight > 0 else { return }
    for (i, y) in unit.sums.enumerated() {
      squares[i] += y * y
      products[i] += y * weight
    }
    counts[0] += weight * weight
    counts[1] += 1
    unit = WeightedSum(mode, width: width)
  }

  mutating func merge(_ other: UnitSquares) {
    for i in 0..<width {
      squares[i] += other.squares[i]
      products[i] += other.products[i]
    }
    for i in counts.indices { counts[i] += other.counts[i] }
  }

  private static func values(_ mode: AveragingMode) -> [PlaceValue] {
    ["squares", "products", "counts"].map { PlaceValue(rawValue: "\($0)_of_units_\(mode.names.flag)") }
  }

  static func squares(_ mode: AveragingMode) -> PlaceValue { values(mode)[0] }

  var tensors: [PlaceNumbers] { Array(zip(Self.values(mode), [squares, products, counts])) }

  init(_ mode: AveragingMode, width: Int, reading read: (PlaceValue, Int) throws -> [Double]) throws {
    self.init(mode, width: width)
    let values = Self.values(mode)
    squares = try read(values[0], width)
    products = try read(values[1], width)
    counts = try read(values[2], 2)
  }

  func averages(weight: Double) -> [PlaceNumbers] {
    [(PlaceValue(rawValue: "square_of_units_\(mode.names.flag)"), squares.map { ($0 / counts[1]).squareRoot() })]
  }
}
