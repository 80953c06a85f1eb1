import Aggregation
import SystemIO
import TensorStream
import TestSupport
import Testing

/// The rows of an independent unit, (rows, width), w·c of each, and Σ w over them.
private struct Unit {
  var rows: [[Float]]
  var factor: Double
  var weight: Double

  /// Units of all sizes, none and one among them.
  static func examples(width: Int, seed: UInt64) -> [Unit] {
    var numbers = SeededNumbers(seed: seed)
    return [3, 1, 0, 17, 2, 0, 1, 1, 7, 40].map { count in
      let factor = Double.random(in: 0.001...3, using: &numbers)
      return Unit(
        rows: (0..<count).map { _ in numbers.floats(width, scale: 10) }, factor: factor, weight: factor * Double(count))
    }
  }

  /// What its rows come to.
  func total(_ mode: AveragingMode, width: Int) -> [Double] {
    (0..<width).map { i in
      rows.reduce(0) { $0 + factor * (mode == .mean ? Double($1[i]) : abs(Double($1[i]))) }
    }
  }
}

/// What every statistic must obey, whatever it gathers.
private struct StatisticLaws<Kind: Statistic> {
  let mode: AveragingMode
  let width: Int
  let units: [Unit]

  init(_ mode: AveragingMode, width: Int) {
    self.mode = mode
    self.width = width
    units = Unit.examples(width: width, seed: UInt64(width) + 100)
  }

  func check() throws {
    mergingNothingChangesNothing()
    anyCutAndAnyOrderAreOnePass()
    unitsWithoutRowsAreNone()
    rowsMayComeAsTotals()
    try tensorsAreReadAgain()
    averagesHaveTheWidth()
  }

  private func fed(_ units: some Sequence<Unit>) -> Kind {
    var statistic = Kind(mode, width: width)
    for unit in units {
      for row in unit.rows { row.withUnsafeBufferPointer { statistic.add(row: $0.baseAddress!, factor: unit.factor) } }
      statistic.endUnit(weight: unit.weight)
    }
    return statistic
  }

  private func merged(_ parts: [Kind]) -> Kind {
    var all = Kind(mode, width: width)
    for part in parts { all.merge(part) }
    return all
  }

  /// Both hold the same, to the bit where no tolerance is given, and give out the same.
  private func expectSame(_ one: Kind, _ other: Kind, within tolerance: Double = 0, _ what: String) {
    let weight = units.reduce(0) { $0 + $1.weight }
    for (a, b) in [(one.tensors, other.tensors), (one.averages(weight: weight), other.averages(weight: weight))] {
      #expect(a.map(\.value) == b.map(\.value))
      for ((value, a), (_, b)) in zip(a, b) {
        let isSame =
          tolerance == 0 ? a.map(\.bitPattern) == b.map(\.bitPattern) : relativeL2(a, b) <= tolerance
        #expect(a.count == b.count && isSame, "\(Kind.self) \(mode), \(value.rawValue): \(what)")
      }
    }
  }

  private func mergingNothingChangesNothing() {
    let whole = fed(units)
    expectSame(merged([whole]), whole, "merged into nothing")
    var other = whole
    other.merge(Kind(mode, width: width))
    expectSame(other, whole, "with nothing merged into it")
  }

  private func anyCutAndAnyOrderAreOnePass() {
    let whole = fed(units)
    var numbers = SeededNumbers(seed: 5)
    expectSame(merged(units.map { fed([$0]) }), whole, within: 1e-12, "a part for each unit")
    for _ in 0..<30 {
      let shuffled = units.shuffled(using: &numbers)
      expectSame(fed(shuffled), whole, within: 1e-12, "another order")
      var parts: [Kind] = []
      var rest = shuffled[...]
      while !rest.isEmpty {
        let count = Int.random(in: 1...rest.count, using: &numbers)
        parts.append(fed(rest.prefix(count)))
        rest = rest.dropFirst(count)
      }
      expectSame(merged(parts), whole, within: 1e-12, "\(parts.count) parts")
      // Merged two by two, in any pairs, until one is left.
      while parts.count > 1 {
        let part = parts.remove(at: Int.random(in: parts.indices, using: &numbers))
        parts[Int.random(in: parts.indices, using: &numbers)].merge(part)
      }
      expectSame(parts[0], whole, within: 1e-12, "parts of parts")
    }
  }

  private func unitsWithoutRowsAreNone() {
    let none = Unit(rows: [], factor: 1, weight: 0)
    expectSame(fed([none, none]), Kind(mode, width: width), "of units without rows")
    let filled = units.filter { !$0.rows.isEmpty }
    expectSame(fed([none] + filled + [none]), fed(filled), "beside units without rows")
  }

  private func rowsMayComeAsTotals() {
    let whole = fed(units)
    var byUnit = Kind(mode, width: width)
    for unit in units {
      byUnit.add(total: unit.total(mode, width: width))
      byUnit.endUnit(weight: unit.weight)
    }
    expectSame(byUnit, whole, within: 1e-12, "of totals")
    guard !Kind.needsUnitsApart else { return }
    var late = Kind(mode, width: width)
    for unit in units { late.endUnit(weight: unit.weight) }
    let totals = units.map { $0.total(mode, width: width) }
    late.add(total: (0..<width).map { i in totals.reduce(0) { $0 + $1[i] } })
    expectSame(late, whole, within: 1e-12, "of one total after all")
  }

  private func tensorsAreReadAgain() throws {
    let place = Place(.residPost, 7)
    for statistic in [fed(units), Kind(mode, width: width)] {
      var output = OutputRecord()
      for (value, numbers) in statistic.tensors { output.add(value.name(place), numbers) }
      try reading(.aggregates, [output]) { (record) throws in
        let again = try Kind(mode, width: width) { value, count in
          try Array(record.tensor(value.name(place), shape: [count], of: Double.self))
        }
        expectSame(again, statistic, "read again")
      }
    }
    // What cannot be read is not made up.
    let missing = Failure(.malformed, "missing")
    #expect(throws: missing) { _ = try Kind(mode, width: width) { _, _ in throw missing } }
  }

  private func averagesHaveTheWidth() {
    for (value, numbers) in fed(units).averages(weight: 71) { #expect(numbers.count == width, "\(value.rawValue)") }
  }
}

@Suite struct StatisticLawsTests {
  @Test(arguments: AveragingMode.allCases, [1, 5, 37])
  func weightedSum(_ mode: AveragingMode, _ width: Int) throws {
    try StatisticLaws<WeightedSum>(mode, width: width).check()
  }

  /// That the laws, and what feeds statistics, suit one that needs units apart.
  @Test(arguments: AveragingMode.allCases, [1, 5, 37])
  func unitSquares(_ mode: AveragingMode, _ width: Int) throws {
    try StatisticLaws<UnitSquares>(mode, width: width).check()
  }

  /// No two tensors of a place have one name.
  @Test func names() {
    var values: [PlaceValue] = [.weight, .samples, .texts, .positions, .loss, .predictions]
    for mode in AveragingMode.allCases {
      for kind in GradientSums.statistics + [UnitSquares.self] {
        let statistic = kind.init(mode, width: 1)
        values += statistic.tensors.map(\.value) + statistic.averages(weight: 1).map(\.value)
      }
    }
    #expect(Set(values).count == values.count, "\(values.map(\.rawValue))")
  }

  @Test func modesAreFoundByEachOfTheirNames() {
    for mode in AveragingMode.allCases {
      #expect(AveragingMode(\.flag, mode.names.flag) == mode)
      #expect(AveragingMode(\.file, mode.names.file) == mode)
      #expect(AveragingMode(\.sum, mode.names.sum) == mode)
      #expect(AveragingMode(\.average, mode.names.average) == mode)
    }
    #expect(AveragingMode(\.flag, "median") == nil)
    #expect(AveragingMode(\.average, AveragingMode.mean.names.sum) == nil)
  }
}
