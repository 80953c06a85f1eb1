import SystemIO
import TensorFiles
import TensorOperations
import TensorStream

/// Averages gradients of any number of records, and merges partial aggregates.
public final class GradientSums {
  /// What is gathered at every place unless others are asked for. The first gives the averages.
  public static let statistics: [any Statistic.Type] = [WeightedSum.self]

  public let choices: AggregationChoices
  /// NaN and infinite gradients are refused, with their place, unless this says otherwise.
  public let allowsNonfinite: Bool
  public private(set) var places: [Place: PlaceSums] = [:]
  private let statistics: [any Statistic.Type]
  private var factored: [Place: FactoredSums] = [:]

  public init(
    _ choices: AggregationChoices, allowsNonfinite: Bool = false,
    statistics: [any Statistic.Type] = GradientSums.statistics
  ) {
    self.statistics = statistics
    self.choices = choices
    self.allowsNonfinite = allowsNonfinite
  }

  /// From here on gradients at `place` are rows that this decoder multiplies.
  public func use(_ basis: Basis, for place: Place, operations: any TensorOperations) {
    finishFactored(place)
    factored[place] = FactoredSums(
      basis, modes: choices.modes, statistics: statistics, operations: operations)
  }

  /// Multiplies out what is gathered. Call it before the sums are read.
  public func finishFactored() {
    for place in factored.keys.sorted() { finishFactored(place) }
  }

  private func finishFactored(_ place: Place) {
    guard let factored = factored.removeValue(forKey: place), var sums = places.removeValue(forKey: place) else {
      return
    }
    factored.giveTotals(to: &sums)
    places[place] = sums
  }

  // MARK: - Gradients

  /// Adds the gradients of a gradients record, whose samples were taken from `text`.
  public func add(gradients record: Record, of text: TextIdentity = .unknown) throws {
    let batch = try GradientBatch(record)
    for place in try Self.places(of: .gradient, in: record) {
      let name = PlaceValue.gradient.name(place)
      let rows = try record.tensor(name, shape: [batch.positionCount, nil], of: Float.self)
      let width = record.header[name]!.shape[1]
      guard width > 0 else { throw record.failure("tensor \(name): expected at least one column, found none") }
      // Without rows the data does not bear the width out, and memory is taken for it.
      guard batch.positionCount > 0 || width <= 1 << 20 else {
        throw record.failure("tensor \(name): expected at most \(1 << 20) columns without rows, found \(width)")
      }
      if !allowsNonfinite { try refuseNonfinite(rows, name, width, batch, record) }
      let factored = factored[place]
      if let expected = factored?.basis.decoder.columns, expected != width {
        throw record.failure("tensor \(name): expected \(expected) columns, as the decoder has, found \(width)")
      }
      var sums = try take(place, width: factored?.basis.decoder.rows ?? width, record)
      for unit in try weigh(batch, of: text, into: &sums, record) {
        let first = rows.baseAddress! + unit.rows.lowerBound * width
        if let factored {
          factored.add(first, rows: unit.rows.count, factor: unit.factor, to: &sums)
        } else {
          sums.add(first, rows: unit.rows.count, factor: unit.factor)
        }
        sums.endUnit(weight: unit.weight)
      }
      places[place] = sums
    }
  }

  /// The rows of a sample that has any: what statistics take as independent of one another.
  private struct Unit {
    let rows: Range<Int>
    /// w·c of every row.
    let factor: Double
    /// Σ w
    let weight: Double
  }

  /// Counts a batch's samples and weights.
  private func weigh(
    _ batch: GradientBatch, of text: TextIdentity, into sums: inout PlaceSums, _ record: Record
  ) throws -> [Unit] {
    var units: [Unit] = []
    let batchPredictions = batch.predictions.reduce(0) { $0 + Int($1) }
    for sample in 0..<batch.sampleCount {
      let positions = batch.rows(of: sample)
      let index = batch.sampleIndex[sample]
      if let duplicate = sums.samples.insert(index..<index + 1, of: text) { throw Self.twice(duplicate, record) }
      // A sample without predictions has no gradient: its rows are zeros and count as such.
      let predictions =
        switch choices.lossReduction {
        case .sum: 1
        case .padded: choices.paddedPredictions!
        case .sample: Int(batch.predictions[sample])
        case .batch: batchPredictions
        }
      let weight =
        switch choices.weighting {
        case .position: 1.0
        case .sample: 1 / Double(max(positions.count, 1))
        case .batch: 1 / Double(max(batch.positionCount, 1))
        }
      if !positions.isEmpty {
        units.append(
          Unit(
            rows: positions, factor: weight / Double(max(predictions, 1)), weight: weight * Double(positions.count)))
      }
      sums.positions += positions.count
      if choices.weighting == .sample, !positions.isEmpty { sums.weight += 1 }
    }
    switch choices.weighting {
    case .position: sums.weight += Double(batch.positionCount)
    case .sample: break
    case .batch: sums.weight += batch.positionCount > 0 ? 1 : 0
    }
    if let loss = batch.loss {
      sums.loss += loss.reduce(0, +)
      sums.predictions += batchPredictions
    }
    return units
  }

  /// Names the first NaN or infinite gradient.
  private func refuseNonfinite(
    _ rows: UnsafeBufferPointer<Float>, _ name: String, _ width: Int, _ batch: GradientBatch, _ record: Record
  ) throws {
    guard let index = firstNonfinite(rows) else { return }
    let row = index / width
    let sample = (0..<batch.sampleCount).first { batch.rows(of: $0).contains(row) }!
    throw record.failure(
      "tensor \(name): \(rows[index]) at sample \(batch.sampleIndex[sample]), position \(batch.position[row]), "
        + "dimension \(index % width); --allow-nonfinite goes on")
  }

  // MARK: - Partial aggregates

  /// Adds the sums of an aggregates record, which must come from the same choices, and whose begin record names `texts`.
  public func merge(partial record: Record, of texts: [TextIdentity] = [.unknown]) throws {
    for place in try Self.places(of: .weight, in: record) {
      let sum = choices.modes.min()!.names.sum.name(place)
      guard let width = record.header[sum]?.shape.first, width > 0 else {
        throw record.failure("tensor \(sum) is missing or empty")
      }
      var sums = try take(place, width: width, record)
      for i in sums.statistics.indices {
        try sums.statistics[i].merge { value, count in try numbers(value.name(place), count: count, record) }
      }
      for (range, text) in try Self.samples(at: place, in: record, texts) {
        if let duplicate = sums.samples.insert(range, of: text) { throw Self.twice(duplicate, record) }
      }
      let weightName = PlaceValue.weight.name(place)
      let weight = try record.tensor(weightName, shape: [1], of: Double.self)[0]
      guard weight.isFinite, weight >= 0 else {
        throw record.failure("tensor \(weightName): expected a weight, found \(weight)")
      }
      sums.weight += weight
      try Self.count(PlaceValue.positions.name(place), of: record, addingTo: &sums.positions)
      sums.loss += try record.tensor(PlaceValue.loss.name(place), shape: [1], of: Double.self)[0]
      try Self.count(PlaceValue.predictions.name(place), of: record, addingTo: &sums.predictions)
      places[place] = sums
    }
  }

  /// A tensor of a statistic.
  private func numbers(_ name: String, count: Int, _ record: Record) throws -> [Double] {
    let numbers = try record.tensor(name, shape: [count], of: Double.self)
    if !allowsNonfinite, let index = numbers.firstIndex(where: { !$0.isFinite }) {
      throw record.failure("tensor \(name): \(numbers[index]) at dimension \(index); --allow-nonfinite goes on")
    }
    return Array(numbers)
  }

  /// The places that a record has values of that kind of, at least one.
  private static func places(of value: PlaceValue, in record: Record) throws -> [Place] {
    let places = try record.places(of: value)
    guard !places.isEmpty else { throw record.failure("expected tensors \(value.rawValue).PLACE, found none") }
    return places
  }

  /// The ranges of sample numbers that went into the sums at a place, and the text of each.
  private static func samples(
    at place: Place, in record: Record, _ texts: [TextIdentity]
  ) throws -> [(Range<Int64>, TextIdentity)] {
    let (samples, textNumbers) = (PlaceValue.samples.name(place), PlaceValue.texts.name(place))
    let ends = try record.tensor(samples, shape: [nil, 2], of: Int64.self)
    let count = ends.count / 2
    // Where there is one text, it need not be told which.
    let numbers = try texts.count == 1 ? nil : record.tensor(textNumbers, shape: [count], of: Int64.self)
    return try (0..<count).map { range in
      let (start, end) = (ends[2 * range], ends[2 * range + 1])
      guard 0 <= start, start < end else {
        throw record.failure("\(samples): expected ranges, found \(start) to \(end)")
      }
      let number = numbers?[range] ?? 0
      guard 0 <= number, number < texts.count else {
        throw record.failure("\(textNumbers): expected numbers from 0 to \(texts.count - 1), found \(number)")
      }
      return (start..<end, texts[Int(number)])
    }
  }

  /// The data record of an aggregates stream: every place's sums and, where asked for, its averages.
  ///
  /// - Parameter texts: those that the begin record names, among them all that samples were added of.
  public func record(finished: Bool, of texts: [TextIdentity] = [.unknown]) -> OutputRecord {
    var record = OutputRecord()
    for (place, sums) in places.sorted(by: { $0.key < $1.key }) {
      for statistic in sums.statistics {
        for (value, numbers) in statistic.tensors { record.add(value.name(place), numbers) }
        guard finished else { continue }
        for (value, numbers) in statistic.averages(weight: sums.weight) {
          record.add(value.name(place), numbers.map { Float($0) })
        }
      }
      precondition(sums.samples.byText.keys.allSatisfy(texts.contains))
      let samples = texts.map { Array((sums.samples.byText[$0] ?? RangeSet()).ranges) }
      let ends = samples.joined().flatMap { [$0.lowerBound, $0.upperBound] }
      record.add(PlaceValue.samples.name(place), ends, shape: [ends.count / 2, 2])
      if texts.count > 1 {
        record.add(
          PlaceValue.texts.name(place),
          zip(Int64(0)..., samples).flatMap { number, ranges in ranges.map { _ in number } })
      }
      record.add(PlaceValue.weight.name(place), [sums.weight])
      record.add(PlaceValue.positions.name(place), [Int64(sums.positions)])
      record.add(PlaceValue.loss.name(place), [sums.loss])
      record.add(PlaceValue.predictions.name(place), [Int64(sums.predictions)])
    }
    return record
  }

  private static func count(_ name: String, of record: Record, addingTo total: inout Int) throws {
    let count = try record.tensor(name, shape: [1], of: Int64.self)[0]
    let (sum, overflow) = total.addingReportingOverflow(Int(count))
    guard count >= 0, !overflow else { throw record.failure("tensor \(name): expected a count, found \(count)") }
    total = sum
  }

  // MARK: -

  /// A place's sums, taken out while they change so that their arrays are not copied.
  private func take(_ place: Place, width: Int, _ record: Record) throws -> PlaceSums {
    let sums =
      places.removeValue(forKey: place) ?? PlaceSums(width: width, modes: choices.modes, statistics: statistics)
    guard sums.width == width else {
      throw record.failure("\(place): expected \(sums.width) columns as before, found \(width)")
    }
    return sums
  }

  private static func twice(_ sample: Int64, _ record: Record) -> Failure {
    record.failure("sample \(sample) was aggregated already: is an input given twice?")
  }
}
