import Aggregation
import SparseAutoencoders
import SystemIO
import TensorStream

/// Looks through gradients streams, once from end to end, for the positions at which features count most.
///
/// Memory holds what is kept of each feature, as many contexts as are asked for, and one record.
public final class ContextSearch {
  private let features: [FeatureName]
  private let places: [Place: PlaceContexts]
  private var agreement = ProvenanceAgreement()
  private var bases: BasisFiles
  /// The places that records had.
  private var found: Set<Place> = []

  /// How the segments' averages would be made, which must not matter.
  private static let anyAverages = AggregationChoices(modes: [.mean], lossReduction: .sum, weighting: .position)

  /// - Parameters:
  ///   - features: at least one, each once.
  ///   - sae: where the autoencoders of factored gradients lie; where the streams say where it is nil.
  ///   - threads: how many of their files may be read at a time.
  public init(_ features: [FeatureName], _ choices: ContextChoices, sae: String?, threads: Int) {
    precondition(!features.isEmpty && Set(features).count == features.count)
    self.features = features
    let byPlace = Dictionary(grouping: features, by: \.place)
    places = Dictionary(
      uniqueKeysWithValues: byPlace.map { ($0, PlaceContexts($0, $1.map(\.index), choices)) })
    bases = BasisFiles(override: sae, threads: threads) { byPlace[$0] != nil }
  }

  /// - Throws: `Failure` of kind malformed where the segment does not belong to those before, of kind usage for a feature
  ///   that the segment's autoencoder lacks.
  public func begin(_ segment: Segment) throws {
    try agreement.add(segment.provenance, Self.anyAverages)
    for (place, reference) in try segment.autoencoders() {
      try places[place]?.check(count: reference.features, areFeatures: true)
    }
    try bases.find(segment) { try places[$0]!.use($1) }
  }

  /// Looks through a record of the segment that was begun.
  ///
  /// - Returns: false for one that only carries decoders.
  public func add(_ record: Record) throws -> Bool {
    if try bases.find(record, show: { try places[$0]!.use($1) }) { return false }
    let batch = try GradientBatch(record)
    let recorded = try record.places(of: .gradient)
    found.formUnion(recorded)
    for place in recorded { try places[place]?.add(record, batch) }
    return true
  }

  /// The contexts of each feature, in the order in which these were named.
  ///
  /// - Throws: `Failure` of kind malformed where the streams lacked a place.
  public func finish() throws -> [(feature: FeatureName, contexts: [RankedContext])] {
    if let missing = places.filter({ !$0.value.wasSeen }).keys.min() {
      throw Failure(
        .malformed, "expected gradients at \(missing), found \(found.isEmpty ? "none" : "\(PlaceList(found))")")
    }
    let all = try places.values.flatMap { try $0.ranked() }
    let contexts = Dictionary(uniqueKeysWithValues: all.map { ($0.feature, $0.contexts) })
    return features.map { ($0, contexts[$0]!) }
  }
}
