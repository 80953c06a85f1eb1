import Aggregation
import SystemIO
import TensorStream

/// The contexts of the features of one place.
final class PlaceContexts {
  private let place: Place
  private let features: [Int]
  private let choices: ContextChoices
  private var collections: [ContextCollection]
  /// What multiplies factored gradients, and how many features it has.
  private var decoder: (rows: DecoderRows, featureCount: Int)?
  /// For each feature or dimension of the place where it stands in `features`, -1 for most.
  private var slots: [Int32] = []
  /// Whether a record had values at this place.
  private(set) var wasSeen = false

  init(_ place: Place, _ features: [Int], _ choices: ContextChoices) {
    (self.place, self.features, self.choices) = (place, features, choices)
    collections = features.map { ContextCollection(FeatureName(place, $0), choices) }
  }

  /// The contexts of each of the features.
  func ranked() throws -> [(feature: FeatureName, contexts: [RankedContext])] {
    try collections.map { ($0.feature, try $0.ranked()) }
  }

  /// Refuses features beyond the last one of an autoencoder, or dimensions beyond the last one of an activation.
  ///
  /// - Throws: `Failure` of kind usage.
  func check(count: Int, areFeatures: Bool) throws(Failure) {
    guard let wrong = features.first(where: { $0 >= count }) else { return }
    let what = areFeatures ? "a feature of the autoencoder" : "a dimension of the activation"
    throw Failure(.usage, "\(FeatureName(place, wrong)): expected \(what), from 0 to \(count - 1)")
  }

  /// From here on gradients are rows that this decoder multiplies.
  func use(_ basis: HostBasis) throws {
    try check(count: basis.decoder.rows, areFeatures: true)
    decoder = (DecoderRows(basis, of: features), basis.decoder.rows)
  }

  /// Looks through a record, which has gradients at this place.
  func add(_ record: Record, _ batch: GradientBatch) throws {
    wasSeen = true
    let (gradients, width) = try record.gradientRows(
      at: place, positions: batch.positionCount, decoderWidth: decoder?.rows.width)
    let count = decoder?.featureCount ?? width
    let activations = try RecordedActivations(
      record, at: place, positions: batch.positionCount, width: count, areFactored: decoder != nil)
    if activations == nil, choices.quantity != .gradient {
      throw record.missingActivations("--by \(choices.quantity.rawValue)", at: place)
    }
    if slots.count != count {
      let areFeatures = if case .active = activations { true } else { decoder != nil }
      try check(count: count, areFeatures: areFeatures)
      slots = Array(repeating: -1, count: count)
      for (slot, feature) in features.enumerated() { slots[feature] = Int32(slot) }
    }
    // Without rows there may be no memory to point to.
    guard batch.positionCount > 0 else { return }
    let values = PlaceValues(
      features: features, batch: batch, gradients: gradients.baseAddress!, width: width, decoder: decoder?.rows,
      activations: activations, window: choices.window)
    for sample in 0..<batch.sampleCount { try add(sample, values, record) }
  }

  private func add(_ sample: Int, _ values: PlaceValues, _ record: Record) throws {
    let rows = values.batch.rows(of: sample)
    if case .active(let active) = values.activations, choices.quantity != .gradient {
      for row in rows {
        let (listed, numbers) = active.row(row)
        for index in listed.indices where slots[Int(listed[index])] >= 0 {
          try add(Int(slots[Int(listed[index])]), row, activation: numbers[index], sample, values, record)
        }
      }
    } else {
      for row in rows {
        for slot in features.indices {
          let activation = choices.quantity == .gradient ? nil : values.activation(slot, row)
          try add(slot, row, activation: activation, sample, values, record)
        }
      }
    }
    for slot in features.indices { collections[slot].endSample { values.context(slot, $0, sample) } }
  }

  /// Offers a position to a feature unless its value is 0.
  private func add(
    _ slot: Int, _ row: Int, activation: Float?, _ sample: Int, _ values: PlaceValues, _ record: Record
  ) throws {
    let value =
      switch choices.quantity {
      case .activation: Double(activation!)
      case .attribution: activation! == 0 ? 0 : Double(activation!) * values.gradient(slot, row)
      case .gradient: values.gradient(slot, row)
      }
    guard value != 0 else { return }
    let (index, position) = (values.batch.sampleIndex[sample], values.batch.position[row])
    guard value.isFinite else {
      throw record.failure(
        "\(FeatureName(place, features[slot])): \(choices.quantity.rawValue) \(value) at sample \(index), position "
          + "\(position): expected a finite number")
    }
    collections[slot].offer(abs(value), index, position, row: row) { values.context(slot, $0, sample) }
  }
}
