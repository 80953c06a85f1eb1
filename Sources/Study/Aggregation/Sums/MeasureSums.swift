import CVectorMath
import SystemIO
import TensorStream

/// The sums of one measure at one place, in Double: all that its average and its standard error are made of.
///
/// With y_u = Σ w · what is averaged, and b_u = Σ w, over the positions of unit u, it holds Σ y over all units, and over
/// the complete ones Σ y², Σ y·b and, of those of even number, Σ y. Parts that were summed apart are added up.
public struct MeasureSums: Sendable {
  public let measure: Measure
  /// Σ y over all units, [width].
  public private(set) var total: [Double]
  private(set) var even: [Double]
  private(set) var squares: [Double]
  private(set) var products: [Double]
  /// What position 0 of all samples has in `total`, [width]; nil where it is not told apart.
  private(set) var first: [Double]?
  /// y of the units that are not complete.
  private var open: [UnitKey: UnitTotal] = [:]
  private var spare: UnitTotal?

  /// - Parameter tellsFirst: whether position 0 is told apart, where that is done at all of this measure.
  init(_ measure: Measure, width: Int, tellsFirst: Bool) {
    self.measure = measure
    total = Array(repeating: 0, count: width)
    (even, squares, products) = (total, total, total)
    first = tellsFirst && measure.firstSum != nil ? total : nil
  }

  public var width: Int { total.count }

  private mutating func unit(_ key: UnitKey) -> UnitTotal {
    if let unit = open[key] { return unit }
    let unit = spare ?? UnitTotal(width: width)
    spare = nil
    open[key] = unit
    return unit
  }

  // MARK: - Positions

  /// Adds rows, (rows, width), of a unit, each element of which counts `factor` ≥ 0 times; where `others` are given, the
  /// products with these.
  ///
  /// - Parameter first: which of the rows is its sample's position 0.
  mutating func add(
    _ x: UnsafePointer<Float>, times others: UnsafePointer<Float>? = nil, rows: Int, first firstRow: Int? = nil,
    factor: Double, of key: UnitKey
  ) {
    let (unit, width, isAbsolute) = (unit(key), width, measure.isAbsolute)
    func accumulate(_ row: Int, in sums: UnsafeMutablePointer<Double>) {
      switch (others, isAbsolute) {
      case (let a?, false): vector_accumulate_product(sums, x + row * width, a + row * width, width, factor)
      case (let a?, true): vector_accumulate_product_magnitude(sums, x + row * width, a + row * width, width, factor)
      case (nil, false): vector_accumulate(sums, x + row * width, width, factor)
      case (nil, true): vector_accumulate_magnitude(sums, x + row * width, width, factor)
      }
    }
    total.withUnsafeMutableBufferPointer { total in
      for row in 0..<rows {
        for sums in [total.baseAddress!, unit.values] { accumulate(row, in: sums) }
      }
    }
    guard let firstRow else { return }
    first?.withUnsafeMutableBufferPointer { accumulate(firstRow, in: $0.baseAddress!) }
  }

  /// Parts that the features are cut into, so that threads have about as much to do.
  private static let parts = 64

  /// Adds gathered positions, at which all but active features are 0.
  ///
  /// - Parameters:
  ///   - factors: how many times each position counts, ≥ 0.
  ///   - value: gives what is summed of each pair of a feature and a position.
  mutating func add(
    _ pairs: PairsByFeature, of gathered: GatheredPositions, _ units: UnitsByCompletion, times factors: [Double],
    on team: ThreadTeam, value: (Int) -> Double
  ) {
    precondition(pairs.features.count == width)
    let completeCount = units.weights.count
    let totals = units.keys.enumerated().map { place, key in place < completeCount ? open[key] : unit(key) }
    let (width, isAbsolute) = (width, measure.isAbsolute)
    withSums { total, first, moments in
      team.run(Self.parts) { part in
        var ofUnits = FeatureUnits(units, totals)
        for feature in width * part / Self.parts..<width * (part + 1) / Self.parts {
          ofUnits.begin(feature)
          for pair in pairs.range(feature) {
            let (position, value) = (Int(pairs.positions[pair]), value(pair))
            let added = factors[position] * (isAbsolute ? abs(value) : value)
            total[feature] += added
            if gathered.areFirst[position] { first?[feature] += added }
            ofUnits.add(added, to: Int(units.ofPositions[position]))
          }
          ofUnits.end(feature, moments)
        }
      }
    }
    for (total, key) in zip(totals, units.keys).prefix(completeCount) {
      if let total { close(key, total) }
    }
  }

  /// Adds what positions came to whose units are told apart otherwise, [width].
  mutating func add(total added: [Double]) {
    precondition(added.count == width)
    for i in 0..<width { total[i] += added[i] }
  }

  /// Adds to y of an open unit alone, [width].
  mutating func add(_ y: [Double], toOpen key: UnitKey) {
    precondition(y.count == width)
    let unit = unit(key)
    for i in 0..<width { unit.values[i] += y[i] }
  }

  // MARK: - Units

  /// Nothing is added to that unit any more.
  mutating func complete(_ key: UnitKey, weight: Double) {
    guard let unit = open[key] else { return }
    let columns = 0..<width
    withMoments { $0.add(unit.values, at: columns, weight: weight, isEven: key.isEven) }
    close(key, unit)
  }

  private mutating func close(_ key: UnitKey, _ unit: UnitTotal) {
    open[key] = nil
    unit.clear()
    spare = unit
  }

  /// Where all sums are, while they change.
  private mutating func withSums(
    _ body: (_ total: UnsafeMutablePointer<Double>, _ first: UnsafeMutablePointer<Double>?, Moments) -> Void
  ) {
    var (total, first): ([Double], [Double]?) = ([], nil)
    func exchange(_ sums: inout MeasureSums) {
      swap(&sums.total, &total)
      swap(&sums.first, &first)
    }
    exchange(&self)
    withMoments { moments in
      total.withUnsafeMutableBufferPointer { total in
        guard first != nil else { return body(total.baseAddress!, nil, moments) }
        first!.withUnsafeMutableBufferPointer { body(total.baseAddress!, $0.baseAddress, moments) }
      }
    }
    exchange(&self)
  }

  private mutating func withMoments(_ body: (Moments) -> Void) {
    even.withUnsafeMutableBufferPointer { even in
      squares.withUnsafeMutableBufferPointer { squares in
        products.withUnsafeMutableBufferPointer { products in
          body(Moments(even: even.baseAddress!, squares: squares.baseAddress!, products: products.baseAddress!))
        }
      }
    }
  }

  /// Takes what a part comes to in some columns: its number, the columns, and Σ over its rows in each of them.
  typealias AddPart = (Int, Range<Int>, UnsafePointer<Double>) -> Void

  /// Adds to units what `product` gives of them, by parts of the columns and on several threads.
  ///
  /// - Parameters:
  ///   - parts: a unit each, none twice; where it is complete, with its weight.
  ///   - product: is told where the numbers of a part are wanted.
  mutating func add(
    parts: [(key: UnitKey, weight: Double?)],
    product: (AddPart) -> Void
  ) {
    let units = parts.map { part in part.weight == nil ? unit(part.key) : open[part.key] }
    withMoments { moments in
      product { number, columns, y in
        let (key, weight) = parts[number]
        if let unit = units[number] {
          let values = unit.values + columns.lowerBound
          for i in 0..<columns.count { values[i] += y[i] }
          if let weight { moments.add(values, at: columns, weight: weight, isEven: key.isEven) }
        } else if let weight {
          moments.add(y, at: columns, weight: weight, isEven: key.isEven)
        }
      }
    }
    for (unit, part) in zip(units, parts) where part.weight != nil {
      if let unit { close(part.key, unit) }
    }
  }

  // MARK: - Parts of a run

  /// The sums with the open units counted as they are.
  func closed(_ units: Units) -> MeasureSums {
    var all = self
    // What is given back to be used again would be one with that of these sums.
    (all.open, all.spare) = ([:], nil)
    for (key, unit) in units.open.sorted(by: { UnitKey.precedes($0.key, $1.key) }) {
      guard let y = open[key]?.values else { continue }
      all.withMoments { $0.add(y, at: 0..<width, weight: unit.weight, isEven: key.isEven) }
    }
    return all
  }

  func write(to record: inout OutputRecord, at place: Place, open keys: [UnitKey]) {
    let tensors = [
      (measure.sum, total), (measure.even, even), (measure.squares, squares), (measure.products, products),
    ]
    for (value, numbers) in tensors { record.add(value.name(place), numbers) }
    if let first { record.add(measure.firstSum!.name(place), first) }
    var values: [Double] = []
    for key in keys {
      let y = open[key].map { UnsafeBufferPointer(start: $0.values, count: width) }
      if let y { values += y } else { values += repeatElement(0, count: width) }
    }
    record.add(measure.open.name(place), values, shape: [keys.count, width])
  }

  /// Adds what `write` wrote.
  ///
  /// - Parameter read: gives the tensor of that kind and shape.
  mutating func merge(
    open keys: [UnitKey], reading read: (PlaceValue, [Int]) throws -> UnsafeBufferPointer<Double>
  ) throws {
    for (sums, value) in [
      (\MeasureSums.total, measure.sum), (\.even, measure.even), (\.squares, measure.squares),
      (\.products, measure.products),
    ] {
      let numbers = try read(value, [width])
      self[keyPath: sums] = zip(self[keyPath: sums], numbers).map { $0 + $1 }
    }
    if let first { self.first = try zip(first, read(measure.firstSum!, [width])).map { $0 + $1 } }
    let values = try read(measure.open, [keys.count, width])
    for (number, key) in keys.enumerated() {
      self.add(Array(values[number * width..<(number + 1) * width]), toOpen: key)
    }
  }
}
