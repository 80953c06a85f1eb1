import SystemIO

/// What one feature after another comes to in each unit of gathered positions.
struct FeatureUnits {
  private let units: UnitsByCompletion
  /// y of those units that are open before or behind these positions.
  private let totals: [UnitTotal?]
  private let open: [Int]
  private let memory: AlignedBuffer
  /// y of each unit, [units], and those units to which anything was added, as many as there are.
  private let sums: UnsafeMutablePointer<Double>
  private let touched: UnsafeMutablePointer<Int32>
  private let areTouched: UnsafeMutablePointer<Bool>
  private var touchedCount = 0
  private var ascend = true

  /// - Parameter totals: of each unit that had positions before, and of each that is not complete.
  init(_ units: UnitsByCompletion, _ totals: [UnitTotal?]) {
    (self.units, self.totals) = (units, totals)
    let count = units.keys.count
    open = totals.indices.filter { totals[$0] != nil }
    let sizes = [MemoryLayout<Double>.stride, MemoryLayout<Int32>.stride, MemoryLayout<Bool>.stride]
    memory = AlignedBuffer(capacity: count * sizes.reduce(0, +))
    sums = memory.address.assumingMemoryBound(to: Double.self)
    touched = (memory.address + count * sizes[0]).assumingMemoryBound(to: Int32.self)
    areTouched = (memory.address + count * (sizes[0] + sizes[1])).assumingMemoryBound(to: Bool.self)
    sums.initialize(repeating: 0, count: count)
    touched.initialize(repeating: 0, count: count)
    areTouched.initialize(repeating: false, count: count)
  }

  /// What is added from here on is the feature's.
  mutating func begin(_ feature: Int) {
    for unit in open {
      let y = totals[unit]!.values[feature]
      if y != 0 { add(y, to: unit) }
    }
  }

  @inline(__always)
  mutating func add(_ value: Double, to unit: Int) {
    if !areTouched[unit] {
      areTouched[unit] = true
      if touchedCount > 0, touched[touchedCount - 1] > unit { ascend = false }
      touched[touchedCount] = Int32(unit)
      touchedCount += 1
    }
    sums[unit] += value
  }

  /// Adds the complete units to `moments`, always in the order in which they were completed: it decides how the sums are
  /// rounded, which must not depend on how many positions are gathered.
  mutating func end(_ feature: Int, _ moments: Moments) {
    if !ascend {
      var some = UnsafeMutableBufferPointer(start: touched, count: touchedCount)
      some.sort()
    }
    for i in 0..<touchedCount {
      let unit = Int(touched[i])
      if unit < units.weights.count {
        moments.add(sums[unit], at: feature, weight: units.weights[unit], isEven: units.areEven[unit])
      } else {
        totals[unit]!.values[feature] = sums[unit]
      }
      (sums[unit], areTouched[unit]) = (0, false)
    }
    (touchedCount, ascend) = (0, true)
  }
}
