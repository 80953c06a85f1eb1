import TensorStream

/// Positions whose active features are added up together, and the units that they are of.
struct GatheredPositions {
  /// Of each pair of a position and a feature that is active there, position after position.
  private(set) var features: [Int32] = []
  private(set) var values: [Float] = []
  /// Where each position's pairs begin, and where those of the last end.
  private(set) var starts = [0]
  /// w of each position, and w·c.
  private(set) var weights: [Double] = []
  private(set) var factors: [Double] = []
  /// Whether each is its sample's position 0.
  private(set) var areFirst: [Bool] = []
  /// The number of each position's unit.
  private(set) var units: [Int32] = []
  private var keys: [UnitKey] = []
  private var numbers: [UnitKey: Int32] = [:]
  /// Units of which nothing more comes, in the order in which that was told.
  private var completed: [(unit: Int32, weight: Double)] = []

  var count: Int { units.count }
  var pairCount: Int { features.count }
  var isEmpty: Bool { units.isEmpty && completed.isEmpty }

  /// - Parameter isFirst: whether it is its sample's position 0.
  mutating func add(_ active: ActiveRow, isFirst: Bool, of part: SamplePart) {
    features.append(contentsOf: active.features)
    values.append(contentsOf: active.values)
    starts.append(features.count)
    weights.append(part.weightOfRow)
    factors.append(part.factor)
    areFirst.append(isFirst)
    units.append(number(part.key))
  }

  mutating func complete(_ key: UnitKey, weight: Double) {
    completed.append((number(key), weight))
    numbers[key] = nil
  }

  private mutating func number(_ key: UnitKey) -> Int32 {
    if let number = numbers[key] { return number }
    let number = Int32(keys.count)
    keys.append(key)
    numbers[key] = number
    return number
  }

  mutating func removeAll() {
    features.removeAll(keepingCapacity: true)
    values.removeAll(keepingCapacity: true)
    starts.removeAll(keepingCapacity: true)
    starts.append(0)
    weights.removeAll(keepingCapacity: true)
    factors.removeAll(keepingCapacity: true)
    areFirst.removeAll(keepingCapacity: true)
    units.removeAll(keepingCapacity: true)
    (keys, numbers, completed) = ([], [:], [])
  }

  var unitsByCompletion: UnitsByCompletion {
    let open = Set(keys.indices.map(Int32.init)).subtracting(completed.map(\.unit)).sorted()
    let order = completed.map(\.unit) + open
    var places = [Int32](repeating: 0, count: keys.count)
    for (place, unit) in order.enumerated() { places[Int(unit)] = Int32(place) }
    return UnitsByCompletion(
      keys: order.map { keys[Int($0)] }, weights: completed.map(\.weight), ofPositions: units.map { places[Int($0)] })
  }
}

/// The units of gathered positions in the order in which they were completed, and behind them those that remain open.
struct UnitsByCompletion {
  let keys: [UnitKey]
  let areEven: [Bool]
  /// Of the complete ones, Σ w.
  let weights: [Double]
  /// Each position's unit, its place among `keys`.
  let ofPositions: [Int32]

  init(keys: [UnitKey], weights: [Double], ofPositions: [Int32]) {
    (self.keys, self.weights, self.ofPositions) = (keys, weights, ofPositions)
    areEven = keys.map(\.isEven)
  }
}
