import Decoders
import SystemIO
import TensorOperations
import TensorStream

/// A feature, or a dimension where its place has no autoencoder, and what it is set to at every recorded position.
public struct AblatedFeature: Sendable {
  public let place: Place
  public let index: Int
  public let target: Double

  public init(_ place: Place, _ index: Int, target: Double) {
    self.place = place
    self.index = index
    self.target = target
  }
}

/// What the loss makes of a feature's ablation, in nats per prediction, over samples that have predictions.
public struct FeatureEffect: Sendable {
  /// The loss with the ablation less that without.
  public private(set) var effect = SampleMean()
  /// The same to first order: Σ (target − a)·g over the recorded positions, with the unmodified model's gradient g.
  public private(set) var predicted = SampleMean()
  /// The effect less what was predicted, sample by sample: both vary with the samples, and mostly alike.
  public private(set) var difference = SampleMean()
  fileprivate var firing = 0
  fileprivate var positions = 0

  fileprivate mutating func add(_ effect: Double, predicted: Double) {
    self.effect.add(effect)
    self.predicted.add(predicted)
    difference.add(effect - predicted)
  }

  /// The share of the recorded positions where the feature is not 0.
  public var firingShare: Double { Double(firing) / Double(max(positions, 1)) }
}

/// The true change of the loss when features are ablated one at a time, group after group.
///
/// At every recorded position the activation x becomes x + (target − a)·d, where a is the feature and d its direction,
/// so that what an autoencoder misses stays as it is; the forward pass goes on from the place. Where nothing changes
/// in a sample, its effect is 0 without a pass. The loss without the ablation comes from passes of the same kind.
public final class AblationEffects {
  private let model: DecoderModel
  private let stride: Int
  private let scope: StrideScope
  private let passRows: Int
  private let finiteNumbers: FiniteNumbers
  private let gradients: RecordedGradients
  private let places: [PlaceAblations]
  /// Of the features, in their order.
  public private(set) var effects: [FeatureEffect]
  /// Of the unmodified model, of all groups so far; the loss in nats.
  public private(set) var loss = 0.0
  public private(set) var predictions = 0

  /// - Parameters:
  ///   - features: at least one; the model must have the layers from the lowest of their places on, and its head.
  ///   - autoencoders: of the places whose features are meant; of the others it is the activation's dimensions.
  ///   - passRows: rows of samples that a pass has at most, where samples are that short.
  public init(
    model: DecoderModel, features: [AblatedFeature], autoencoders: [Place: AutoencoderOperations], stride: Int,
    scope: StrideScope, passRows: Int, finiteNumbers: FiniteNumbers
  ) {
    self.model = model
    self.stride = stride
    self.scope = scope
    self.passRows = passRows
    self.finiteNumbers = finiteNumbers
    let list = PlaceList(features.map(\.place))
    let isDouble = model.arithmetic == .float64
    gradients = RecordedGradients(model: model, start: list.places[0], places: list)
    places = list.places.map { place in
      let own = features.indices.filter { features[$0].place == place }
      return PlaceAblations(
        PlaceFeatures(place, width: model.description.width(of: place.site), autoencoder: autoencoders[place]),
        own.map { (slot: $0, feature: features[$0]) }, model.description, isDouble: isDouble)
    }
    effects = Array(repeating: FeatureEffect(), count: features.count)
  }

  /// The captured places that every record must bring.
  public var neededPlaces: [Place] { places.map(\.features.place) }

  /// - Parameter advance: called again and again with how many ablations of a sample are done since, and how many tokens
  ///   went through the model for them.
  /// - Throws: `Failure` of kind malformed for a loss that is no number, unless that is waived.
  public func add(_ group: SampleGroup, advance: (_ ablations: Int, _ tokens: Int) -> Void) throws {
    let positions = RecordedPositions(group, stride: stride, scope: scope)
    let starts = GroupStarts(group, at: neededPlaces, model)
    loss += gradients.find(group, positions, from: starts).reduce(0, +)
    predictions += group.tokens.predictions.reduce(0) { $0 + Int($1) }
    let unpredicted = group.tokens.predictions.count { $0 == 0 }
    if unpredicted > 0 { advance(unpredicted * effects.count, 0) }
    for place in places {
      place.read(group, positions, starts)
      try ablate(place, group, starts, positions, advance)
    }
  }

  private func ablate(
    _ place: PlaceAblations, _ group: SampleGroup, _ starts: GroupStarts, _ positions: RecordedPositions,
    _ advance: (Int, Int) -> Void
  ) throws {
    let samples = (0..<group.tokens.sampleCount).filter { group.tokens.predictions(of: $0) > 0 }
    let gradient = gradients.at(place.features.place).values
    var unmodified: [Int: Double] = [:]
    // What is in the pass: samples as they are come before any ablation of them.
    var packed: [(ablation: PlaceAblations.Ablation?, sample: Int, predicted: Double)] = []

    func run() throws {
      let rows = place.pass.rows
      for (entry, loss) in zip(packed, place.pass.run(model)) {
        try finiteNumbers.check(loss, "the loss of sample \(group.tokens.sampleIndex[entry.sample])", of: group)
        guard let ablation = entry.ablation else {
          unmodified[entry.sample] = loss
          continue
        }
        let predictions = Double(group.tokens.predictions(of: entry.sample))
        effects[ablation.slot].add(
          (loss - unmodified[entry.sample]!) / predictions, predicted: entry.predicted / predictions)
      }
      advance(packed.count { $0.ablation != nil }, rows)
      packed = []
    }
    /// - Returns: the first of the sample's rows in the pass.
    func append(_ sample: Int) throws -> Int {
      let rows = place.pass.rows
      if rows > 0, rows + group.tokens.rows(of: sample).count > passRows { try run() }
      return place.pass.append(sample, of: group, starts)
    }

    for sample in samples {
      _ = try append(sample)
      packed.append((nil, sample, 0))
    }
    for ablation in place.ablations {
      effects[ablation.slot].positions += positions.rows.count
      effects[ablation.slot].firing += ablation.active.count
      for sample in samples {
        let changes = place.changes(of: ablation, in: positions.range(of: sample..<sample + 1))
        guard !changes.isEmpty else {
          effects[ablation.slot].add(0, predicted: 0)
          advance(1, 0)
          continue
        }
        let shift = try append(sample) - group.tokens.rows(of: sample).lowerBound
        var predicted = 0.0
        for (position, change) in changes {
          place.pass.add(change, ablation.direction, row: positions.rows[position] + shift)
          predicted += change * ablation.product(gradient, row: position)
        }
        packed.append((ablation, sample, predicted))
      }
    }
    try run()
  }
}
