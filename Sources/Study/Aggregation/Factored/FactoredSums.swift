import CVectorMath
import SystemIO
import TensorOperations
import TensorStream

/// Sums of one place's factored gradients, whose rows, of 65,536 features, never exist.
///
/// The signed total is W_dec · Σ w·c·g: one vector until the end, and for standard errors one more row of a product for
/// each unit. The absolute one needs every row; since w·c·|W_dec·g| = |W_dec·(w·c·g)|, rows of many records are gathered,
/// scaled, into one product whose tiles are added up, unit by unit, while they are in cache. The units' own rows go into the
/// same product, as one of few rows takes longer to pack the decoder than to multiply by it.
final class FactoredSums {
  let basis: Basis
  private let operations: any TensorOperations
  /// Σ w·c·g of all rows and of those of each open unit, [D].
  private var sum: [Double]
  private var openSums: [UnitKey: [Double]] = [:]
  /// A row a complete unit, Σ w·c·g, and the unit with its weight.
  private let unitRows: GatheredRows?
  private var unitsOfRows: [(key: UnitKey, weight: Double?)] = []
  /// Rows w·c·g, the units that they are of one after another, each with the end of its rows, and those of them that
  /// are complete, with their weights.
  private let rows: GatheredRows?
  private var unitsAndEnds: [(key: UnitKey, end: Int)] = []
  private var completed: [UnitKey: Double] = [:]
  /// Σ |W_dec · (w·c·g)| without the factors, [F].
  private let magnitudes: Tensor?
  /// Where both kinds of rows are multiplied, the units' behind the others.
  private let multiplied: Tensor?

  private static let signed = Measure.average(.gradient, .mean)
  private static let absolute = Measure.average(.gradient, .meanAbsolute)

  init(_ basis: Basis, _ choices: AggregationChoices, operations: any TensorOperations) {
    self.basis = basis
    self.operations = operations
    let D = basis.decoder.columns
    let measures = choices.measures(ofFeatures: true)
    sum = Array(repeating: 0, count: measures.contains(Self.signed) ? D : 0)
    unitRows = measures.contains(Self.signed) ? GatheredRows(columns: D) : nil
    rows = measures.contains(Self.absolute) ? GatheredRows(columns: D) : nil
    let kinds = [unitRows, rows].count { $0 != nil }
    multiplied = kinds == 0 ? nil : operations.makeTensor(rows: kinds * GatheredRows.capacity, columns: D)
    magnitudes = rows == nil ? nil : operations.makeSums(basis.decoder.rows)
  }

  /// Adds a unit's rows of g, (rows, D), each multiplied by `factor` ≥ 0, to `sums`, now or later.
  func add(_ g: UnsafePointer<Float>, rows count: Int, factor: Double, of key: UnitKey, to sums: inout PlaceSums) {
    let D = basis.decoder.columns
    if unitRows != nil {
      for row in 0..<count {
        sum.withUnsafeMutableBufferPointer { vector_accumulate($0.baseAddress!, g + row * D, D, factor) }
        openSums[key, default: Array(repeating: 0, count: D)].withUnsafeMutableBufferPointer {
          vector_accumulate($0.baseAddress!, g + row * D, D, factor)
        }
      }
    }
    guard let rows else { return }
    for row in 0..<count {
      if unitsAndEnds.last?.key != key {
        // What is not finished of a unit is added to its total before more comes.
        if unitsAndEnds.contains(where: { $0.key == key }) { multiply(to: &sums) }
        unitsAndEnds.append((key, rows.count))
      }
      let destination = rows.next()
      for i in 0..<D { destination[i] = Float(factor * Double(g[row * D + i])) }
      unitsAndEnds[unitsAndEnds.count - 1].end = rows.count
      if rows.isFull { multiply(to: &sums) }
    }
  }

  /// Tells that nothing more comes of a unit.
  func complete(_ key: UnitKey, weight: Double, in sums: inout PlaceSums) {
    if let unitRows {
      if let row = openSums.removeValue(forKey: key) {
        let destination = unitRows.next()
        for (i, value) in row.enumerated() { destination[i] = Float(value) }
        unitsOfRows.append((key, weight))
        // Where the other rows are cut into products decides how their sums are rounded, so it is left to them.
        if unitRows.isFull { multiply(to: &sums, unitsAlone: true) }
      } else {
        sums[Self.signed].complete(key, weight: weight)
      }
    }
    guard rows != nil else { return }
    if unitsAndEnds.contains(where: { $0.key == key }) {
      completed[key] = weight
    } else {
      sums[Self.absolute].complete(key, weight: weight)
    }
  }

  /// Adds to `sums` all that was not added yet.
  func finish(_ sums: inout PlaceSums) {
    multiply(to: &sums)
    if let magnitudes {
      sums[Self.absolute].add(total: withFactors(operations.takeSums(magnitudes), \.magnitude))
    }
    guard unitRows != nil else { return }
    sums[Self.signed].add(total: withFactors(operations.product(basis.decoder, sum)))
    for (key, row) in openSums {
      sums[Self.signed].add(withFactors(operations.product(basis.decoder, row)), toOpen: key)
    }
    for i in sum.indices { sum[i] = 0 }
    openSums = [:]
    MappedFile.letGo(of: basis.decoder.bytes)
  }

  /// Multiplies all rows that are gathered, or the units' alone.
  private func multiply(to sums: inout PlaceSums, unitsAlone: Bool = false) {
    let (rowCount, unitCount) = (unitsAlone ? 0 : rows?.count ?? 0, unitRows?.count ?? 0)
    guard let multiplied, rowCount + unitCount > 0 else { return }
    unitRows?.move(to: multiplied.rows(rowCount..<rowCount + unitCount), operations)
    let unitsOfRows = unitsOfRows
    self.unitsOfRows = []
    var ends: [Int] = []
    var units: [(key: UnitKey, weight: Double?)] = []
    if !unitsAlone {
      rows?.move(to: multiplied.rows(0..<rowCount), operations)
      ends = unitsAndEnds.map(\.end)
      units = unitsAndEnds.map { (key: $0.key, weight: completed[$0.key]) }
      (unitsAndEnds, completed) = ([], [:])
    }

    let x = multiplied.first(rows: rowCount + unitCount)
    let factors = basis.factors.map { $0.map(Double.init) }
    func product(_ addPart: MeasureSums.AddPart, _ addUnit: MeasureSums.AddPart) {
      operations.addMagnitudes(ofProduct: x, matrix: basis.decoder.transposed, to: magnitudes, partsEndingAt: ends) {
        part, columns, y in
        let isSigned = part >= ends.count
        if let factors {
          for i in 0..<columns.count {
            let factor = factors[columns.lowerBound + i]
            y[i] *= isSigned ? factor : factor.magnitude
          }
        }
        if isSigned { addUnit(part - ends.count, columns, y) } else { addPart(part, columns, y) }
      }
    }
    switch (units.isEmpty, unitsOfRows.isEmpty) {
    case (false, false):
      sums.withSums(of: Self.absolute, and: Self.signed) { absolute, signed in
        absolute.add(parts: units) { addPart in signed.add(parts: unitsOfRows) { product(addPart, $0) } }
      }
    case (false, true): sums[Self.absolute].add(parts: units) { product($0, { _, _, _ in }) }
    default: sums[Self.signed].add(parts: unitsOfRows) { product({ _, _, _ in }, $0) }
    }
    // One place's decoder in memory at a time, however many there are.
    MappedFile.letGo(of: basis.decoder.bytes)
  }

  private func withFactors(_ values: [Double], _ sign: (Float) -> Float = { $0 }) -> [Double] {
    guard let factors = basis.factors else { return values }
    return zip(values, factors).map { $0 * Double(sign($1)) }
  }
}
