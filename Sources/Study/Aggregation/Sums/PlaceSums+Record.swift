import SystemIO
import TensorStream

// A place's sums as tensors of an aggregates record.

extension PlaceValue {
  /// How many units are complete, and how many of these have an even number.
  static let units = PlaceValue(rawValue: "units")
  fileprivate static let evenWeight = PlaceValue(rawValue: "even_weight")
  fileprivate static let squaredWeight = PlaceValue(rawValue: "squared_weight")
  fileprivate static let openDocuments = PlaceValue(rawValue: "open_documents")
  fileprivate static let openWeights = PlaceValue(rawValue: "open_weights")
}

extension PlaceSums {
  /// - Parameter texts: those that the begin record names, among them all that samples were added of.
  func write(to record: inout OutputRecord, at place: Place, of texts: [TextIdentity]) {
    let open = units.openKeys
    for measure in measures { measure.write(to: &record, at: place, open: open) }
    precondition(samples.byText.keys.allSatisfy(texts.contains))
    let ranges = texts.map { Array((samples.byText[$0] ?? RangeSet()).ranges) }
    let ends = ranges.joined().flatMap { [$0.lowerBound, $0.upperBound] }
    record.add(PlaceValue.samples.name(place), ends, shape: [ends.count / 2, 2])
    if texts.count > 1 {
      record.add(
        PlaceValue.texts.name(place),
        zip(Int64(0)..., ranges).flatMap { number, ranges in ranges.map { _ in number } })
    }
    record.add(PlaceValue.weight.name(place), [weight])
    record.add(PlaceValue.evenWeight.name(place), [units.evenWeight])
    record.add(PlaceValue.squaredWeight.name(place), [units.squaredWeight])
    record.add(PlaceValue.units.name(place), [Int64(units.complete), Int64(units.completeEven)])
    let documents = open.flatMap { key in
      let samples = units.open[key]!.samples
      return [Int64(texts.firstIndex(of: key.text)!), key.number, samples.lowerBound, samples.upperBound]
    }
    record.add(PlaceValue.openDocuments.name(place), documents, shape: [open.count, 4])
    record.add(PlaceValue.openWeights.name(place), open.map { units.open[$0]!.weight })
    record.add(PlaceValue.positions.name(place), [Int64(positions)])
    record.add(PlaceValue.loss.name(place), [loss])
    record.add(PlaceValue.predictions.name(place), [Int64(predictions)])
  }

  /// Adds what `write` wrote.
  mutating func merge(_ record: Record, at place: Place, of texts: [TextIdentity], allowsNonfinite: Bool) throws {
    // First what says that a record does not belong here.
    for (range, text) in try record.samples(at: place, texts) {
      if let duplicate = samples.insert(range, of: text) { throw record.twice(duplicate) }
    }
    let open = try mergeUnits(record, at: place, of: texts)
    for i in measures.indices {
      try measures[i].merge(open: open) { value, shape in
        let numbers = try record.tensor(value.name(place), shape: shape, of: Double.self)
        if !allowsNonfinite, let index = numbers.firstIndex(where: { !$0.isFinite }) {
          throw record.failure(
            "tensor \(value.name(place)): \(numbers[index]) at dimension \(index % width); --allow-nonfinite continues anyway"
          )
        }
        return numbers
      }
    }
    weight += try record.weight(.weight, place)
    positions = try record.count(PlaceValue.positions, place, addedTo: positions)
    loss += try record.tensor(PlaceValue.loss.name(place), shape: [1], of: Double.self)[0]
    predictions = try record.count(PlaceValue.predictions, place, addedTo: predictions)
  }

  /// - Returns: the open units of the record.
  private mutating func mergeUnits(_ record: Record, at place: Place, of texts: [TextIdentity]) throws -> [UnitKey] {
    units.evenWeight += try record.weight(.evenWeight, place)
    units.squaredWeight += try record.weight(.squaredWeight, place)
    let name = PlaceValue.units.name(place)
    let counts = try record.tensor(name, shape: [2], of: Int64.self)
    let (sum, overflow) = units.complete.addingReportingOverflow(Int(counts[0]))
    guard 0 <= counts[1], counts[1] <= counts[0], !overflow else {
      throw record.failure("tensor \(name): expected two counts, found \(counts[0]) and \(counts[1])")
    }
    units.complete = sum
    units.completeEven += Int(counts[1])
    let documentsName = PlaceValue.openDocuments.name(place)
    let documents = try record.tensor(documentsName, shape: [nil, 4], of: Int64.self)
    let weights = try record.tensor(
      PlaceValue.openWeights.name(place), shape: [documents.count / 4], of: Double.self)
    var keys: [UnitKey] = []
    for (number, weight) in weights.enumerated() {
      let (text, document) = (documents[4 * number], documents[4 * number + 1])
      let (first, last) = (documents[4 * number + 2], documents[4 * number + 3])
      guard texts.indices.contains(Int(text)), document >= 0, 0 <= first, first <= last, last < .max else {
        throw record.failure(
          "tensor \(documentsName): expected a text, a document, its first and its last sample, found "
            + "\(text), \(document), \(first), \(last)")
      }
      guard weight.isFinite, weight >= 0 else {
        throw record.failure("tensor \(PlaceValue.openWeights.name(place)): expected a weight, found \(weight)")
      }
      let key = UnitKey(text: texts[Int(text)], number: document)
      units.add(key, samples: first...last, weight: weight)
      keys.append(key)
    }
    return keys
  }
}

extension Estimate {
  /// The average and what is known of its error, as tensors of an aggregates record.
  public func write(to record: inout OutputRecord, at place: Place) {
    record.add(measure.average.name(place), average.map { Float($0) })
    if let standardError { record.add(measure.standardError.name(place), standardError.map { Float($0) }) }
    if let firstShare { record.add(PlaceValue.firstShare.name(place), firstShare.map { Float($0) }) }
    if let reliability {
      record.add(
        measure.halves.name(place),
        [
          reliability.correlation, reliability.ofAll, Double(reliability.overlap), reliability.unitsForNineTenths,
        ])
    }
  }
}

extension Record {
  /// The independent units that a place's averages are over, those among them that more could come of.
  func unitCount(at place: Place) throws -> Int {
    let complete = try tensor(PlaceValue.units.name(place), shape: [2], of: Int64.self)[0]
    let name = PlaceValue.openWeights.name(place)
    let open = has(name) ? try tensor(name, shape: [nil], of: Double.self).count : 0
    let (sum, isTooLarge) = Int(clamping: complete).addingReportingOverflow(open)
    return isTooLarge ? .max : sum
  }

  fileprivate func weight(_ value: PlaceValue, _ place: Place) throws -> Double {
    let weight = try tensor(value.name(place), shape: [1], of: Double.self)[0]
    guard weight.isFinite, weight >= 0 else {
      throw failure("tensor \(value.name(place)): expected a weight, found \(weight)")
    }
    return weight
  }

  fileprivate func count(_ value: PlaceValue, _ place: Place, addedTo total: Int) throws -> Int {
    let name = value.name(place)
    let count = try tensor(name, shape: [1], of: Int64.self)[0]
    let (sum, overflow) = total.addingReportingOverflow(Int(count))
    guard count >= 0, !overflow else { throw failure("tensor \(name): expected a count, found \(count)") }
    return sum
  }

  /// The ranges of sample numbers that went into the sums at a place, and the text of each.
  fileprivate func samples(at place: Place, _ texts: [TextIdentity]) throws -> [(Range<Int64>, TextIdentity)] {
    let (samples, textNumbers) = (PlaceValue.samples.name(place), PlaceValue.texts.name(place))
    let ends = try tensor(samples, shape: [nil, 2], of: Int64.self)
    let count = ends.count / 2
    // Where there is one text, it need not be told which.
    let numbers = try texts.count == 1 ? nil : tensor(textNumbers, shape: [count], of: Int64.self)
    return try (0..<count).map { range in
      let (start, end) = (ends[2 * range], ends[2 * range + 1])
      guard 0 <= start, start < end else {
        throw failure("\(samples): expected ranges, found \(start) to \(end)")
      }
      let number = numbers?[range] ?? 0
      guard 0 <= number, number < texts.count else {
        throw failure("\(textNumbers): expected numbers from 0 to \(texts.count - 1), found \(number)")
      }
      return (start..<end, texts[Int(number)])
    }
  }
}
