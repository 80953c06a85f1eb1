import SystemIO
import TensorFiles
import TensorOperations
import TensorStream

/// Averages what gradients records hold, any number of them, and merges partial aggregates.
public final class GradientSums {
  public let choices: AggregationChoices
  /// NaN and infinite values are refused, with their place, unless this says otherwise.
  public let allowsNonfinite: Bool
  public internal(set) var places: [Place: PlaceSums] = [:]
  private var factored: [Place: FactoredSums] = [:]
  private var active: [Place: ActiveSums] = [:]
  /// What adds up several places at a time.
  private let team: ThreadTeam
  private let budget: GatheringBudget

  public init(
    _ choices: AggregationChoices, allowsNonfinite: Bool = false, team: ThreadTeam = ThreadTeam(size: 1),
    budget: GatheringBudget = GatheringBudget()
  ) {
    self.choices = choices
    self.allowsNonfinite = allowsNonfinite
    self.team = team
    self.budget = budget
  }

  /// From here on gradients at `place` are rows that this decoder multiplies.
  ///
  /// - Parameter team: what multiplies on the processor, whatever `operations` are.
  public func use(_ basis: Basis, for place: Place, operations: any TensorOperations, team: ThreadTeam) {
    addUp(place)
    factored[place] = FactoredSums(basis, choices, operations: operations)
    if choices.quantities != [.gradient] { active[place] = activeSums(basis, team) }
  }

  private func activeSums(_ basis: Basis?, _ team: ThreadTeam) -> ActiveSums {
    ActiveSums(choices.measures(ofFeatures: true), basis, team, budget)
  }

  /// Adds up what is gathered. Call it before the sums are read.
  public func finish() {
    for (place, var sums) in places {
      places[place] = nil
      completeUnits(of: &sums, at: place)
      places[place] = sums
    }
    for place in places.keys.sorted() { addUp(place) }
  }

  private func addUp(_ place: Place) {
    let (factored, active) = (factored.removeValue(forKey: place), active.removeValue(forKey: place))
    guard var sums = places.removeValue(forKey: place) else { return }
    factored?.finish(&sums)
    active?.addUp(to: &sums)
    places[place] = sums
  }

  // MARK: - Gradients

  /// Adds a gradients record, whose samples were taken from `text`.
  public func add(gradients record: Record, of text: TextIdentity = .unknown) throws {
    let batch = try GradientBatch(record)
    var all: [PlaceWork] = []
    for place in try record.placesOfSome(.gradient) {
      let factored = factored[place]
      let (rows, width) = try record.gradientRows(
        at: place, positions: batch.positionCount, decoderWidth: factored?.basis.decoder.columns)
      if !allowsNonfinite { try refuseNonfinite(rows, PlaceValue.gradient.name(place), width, batch, record) }
      let activations = try activations(record, place, batch, width: factored?.basis.decoder.rows ?? width)
      var sums = try take(
        place, width: factored?.basis.decoder.rows ?? width, firing: activations?.areOfFeatures ?? false, record)
      // Places that are added up side by side have a thread each.
      if case .active = activations, active[place] == nil { active[place] = activeSums(nil, ThreadTeam(size: 1)) }
      let values = PlaceRows(
        gradients: rows.baseAddress!, width: width, activations: activations, factored: factored,
        activeSums: active[place])
      let parts = try weigh(batch, of: text, into: &sums, record)
      all.append(PlaceWork(place: place, values: values, parts: parts, sums: sums))
    }
    // Factored ones have threads, or a GPU, that they share.
    let (apart, together) = (all.filter { $0.values.factored == nil }, all.filter { $0.values.factored != nil })
    team.run(apart.count) { add(apart[$0]) }
    together.forEach(add)
    for work in all { places[work.place] = work.sums }
  }

  /// What a record adds at a place.
  private final class PlaceWork {
    let place: Place
    let values: PlaceRows
    let parts: [SamplePart]
    var sums: PlaceSums

    init(place: Place, values: PlaceRows, parts: [SamplePart], sums: consuming PlaceSums) {
      (self.place, self.values, self.parts) = (place, values, parts)
      self.sums = sums
    }
  }

  private func add(_ work: PlaceWork) {
    for part in work.parts {
      for rows in part.rows { work.values.add(rows, part, to: &work.sums) }
      work.sums.units.add(part.key, samples: part.sample...part.sample, weight: part.weight)
      endUnits(before: part.key, of: &work.sums, at: work.place)
    }
  }

  /// What a record has of its activations at a place, where it is asked for.
  private func activations(
    _ record: Record, _ place: Place, _ batch: GradientBatch, width: Int
  ) throws -> RecordedActivations? {
    guard let quantity = choices.quantities.sorted(by: { $0.rawValue > $1.rawValue }).first(where: { $0 != .gradient })
    else { return nil }
    let activations = try RecordedActivations(
      record, at: place, positions: batch.positionCount, width: width, areFactored: factored[place] != nil)
    switch activations {
    case nil: throw record.missingActivations("--quantity \(quantity.rawValue)", at: place)
    case .dense(let values):
      if !allowsNonfinite { try refuseNonfinite(values, PlaceValue.activation.name(place), width, batch, record) }
    case .active(let active):
      if !allowsNonfinite, let (row, feature, value) = active.firstNonfinite {
        throw nonfinite(value, PlaceValue.featureValue.name(place), row, Int(feature), batch, record)
      }
    }
    return activations
  }

  /// Names the first NaN or infinite value.
  private func refuseNonfinite(
    _ rows: UnsafeBufferPointer<Float>, _ name: String, _ width: Int, _ batch: GradientBatch, _ record: Record
  ) throws {
    guard let index = firstNonfinite(rows) else { return }
    throw nonfinite(rows[index], name, index / width, index % width, batch, record)
  }

  private func nonfinite(
    _ value: Float, _ name: String, _ row: Int, _ dimension: Int, _ batch: GradientBatch, _ record: Record
  ) -> Failure {
    let sample = (0..<batch.sampleCount).first { batch.rows(of: $0).contains(row) }!
    return record.failure(
      "tensor \(name): \(value) at sample \(batch.sampleIndex[sample]), position \(batch.position[row]), "
        + "dimension \(dimension); --allow-nonfinite continues anyway")
  }

  // MARK: - Units

  /// Notes that what comes next is of the unit `key`: the one before may be complete.
  private func endUnits(before key: UnitKey, of sums: inout PlaceSums, at place: Place) {
    switch choices.unit {
    case .sample: complete(key, in: &sums, at: place)
    case .document:
      defer { sums.current = key }
      guard let current = sums.current, current != key else { return }
      if sums.units.isComplete(current, among: sums.samples) { complete(current, in: &sums, at: place) }
    }
  }

  private func complete(_ key: UnitKey, in sums: inout PlaceSums, at place: Place) {
    let weight = sums.units.complete(key)
    let (factored, active) = (factored[place], active[place])
    factored?.complete(key, weight: weight, in: &sums)
    active?.complete(key, weight: weight)
    for i in sums.measures.indices {
      let isGathered = sums.measures[i].measure.quantity == .gradient ? factored != nil : active != nil
      if !isGathered { sums.measures[i].complete(key, weight: weight) }
    }
  }

  /// Completes what has become so by other parts of the text.
  private func completeUnits(of sums: inout PlaceSums, at place: Place) {
    for key in sums.units.openKeys where sums.units.isComplete(key, among: sums.samples) {
      complete(key, in: &sums, at: place)
    }
  }

  // MARK: - Partial aggregates

  /// Adds the sums of an aggregates record, which must come from the same choices, and whose begin record names `texts`.
  public func merge(partial record: Record, of texts: [TextIdentity] = [.unknown]) throws {
    for place in try record.placesOfSome(.weight) {
      let hasFiring = record.has(Measure.firing.sum.name(place))
      let sum = choices.measures(ofFeatures: hasFiring)[0].sum.name(place)
      guard let width = record.header[sum]?.shape.first, width > 0 else {
        throw record.failure("tensor \(sum) is missing or empty")
      }
      var sums = try take(place, width: width, firing: hasFiring, record)
      active[place]?.addUp(to: &sums)
      try sums.merge(record, at: place, of: texts, allowsNonfinite: allowsNonfinite)
      completeUnits(of: &sums, at: place)
      places[place] = sums
    }
  }

  /// The data record of an aggregates stream: every place's sums, to which averages may be added.
  ///
  /// - Parameter texts: those that the begin record names, among them all that samples were added of.
  public func record(of texts: [TextIdentity] = [.unknown]) -> OutputRecord {
    var record = OutputRecord()
    for (place, sums) in places.sorted(by: { $0.key < $1.key }) { sums.write(to: &record, at: place, of: texts) }
    return record
  }

  // MARK: -

  /// A place's sums, taken out while they change so that their arrays are not copied.
  private func take(_ place: Place, width: Int, firing: Bool, _ record: Record) throws -> PlaceSums {
    let sums =
      places.removeValue(forKey: place)
      ?? PlaceSums(
        width: width, measures: choices.measures(ofFeatures: firing), tellsFirst: choices.firstPosition == 0)
    guard sums.width == width else {
      throw record.failure("\(place): expected \(sums.width) columns as before, found \(width)")
    }
    guard sums.has(.firing) == firing else {
      throw record.failure(
        "\(place): expected \(firing ? "activations" : "active features") as before, found the other")
    }
    return sums
  }
}

extension Record {
  /// The places that the record has values of that kind of, at least one.
  fileprivate func placesOfSome(_ value: PlaceValue) throws -> [Place] {
    let places = try places(of: value)
    guard !places.isEmpty else { throw failure("expected tensors \(value.rawValue).PLACE, found none") }
    return places
  }
}
