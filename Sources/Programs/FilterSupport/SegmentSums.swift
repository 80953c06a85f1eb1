import Aggregation
import SystemIO
import TensorOperations
import TensorStream

/// The sums of what segments of gradients, or of partial aggregates, hold together.
public final class SegmentSums {
  private let options: AggregationOptions
  private let compute: ComputeOptions
  private var agreement: ProvenanceAgreement
  private var bases: BasisFiles
  /// Without decoders to multiply by, there is nothing to compute on a GPU.
  public private(set) var operations: (any TensorOperations)?
  private let makeOperations: () throws -> any TensorOperations
  /// What multiplies for attributions, on the processor.
  private lazy var team = ThreadTeam(size: compute.threadCount)
  private var found: GradientSums?
  /// Of the segment at hand.
  private var kind = StreamKind.gradients
  private var texts: [TextIdentity] = []

  /// - Parameters:
  ///   - sae: where the autoencoders of factored gradients lie; where the streams say where it is nil.
  ///   - operations: what multiplies by decoders, asked for with the first of them.
  public init(
    _ options: AggregationOptions, _ compute: ComputeOptions, mixesTexts: Bool = false, sae: String? = nil,
    operations: @escaping () throws -> any TensorOperations
  ) {
    (self.options, self.compute) = (options, compute)
    makeOperations = operations
    agreement = ProvenanceAgreement(mixesTexts: mixesTexts)
    bases = BasisFiles(override: sae, threads: compute.threadCount)
  }

  /// - Throws: `Failure` of kind malformed where the segment cannot be summed, or not together with those before.
  public func begin(_ segment: Segment) throws {
    let choices = try options.choices(segment)
    texts = try agreement.add(segment.provenance, choices)
    kind = segment.kind
    let all =
      found
      ?? GradientSums(
        choices, allowsNonfinite: compute.allowNonfinite, team: ThreadTeam(size: compute.threadCount))
    found = all
    guard kind == .gradients else { return }
    guard texts.count == 1 else {
      throw Failure(.malformed, "begin record: text: expected the hashes of one text, found \(texts.count)")
    }
    try bases.find(segment) { try use($1, at: $0, in: all) }
  }

  /// Adds a record of the segment that was begun.
  ///
  /// - Returns: false for one that only carries decoders.
  @discardableResult
  public func add(_ record: Record) throws -> Bool {
    let all = found!
    if kind == .gradients {
      if try bases.find(record, show: { try use($1, at: $0, in: all) }) { return false }
      try all.add(gradients: record, of: texts[0])
    } else {
      try all.merge(partial: record, of: texts)
    }
    return true
  }

  /// Has `sums` multiply by a decoder.
  private func use(_ basis: HostBasis, at place: Place, in sums: GradientSums) throws {
    let operations = try self.operations ?? makeOperations()
    self.operations = operations
    let needsTeam = sums.choices.quantities.contains(.attribution)
    sums.use(
      Basis(decoder: operations.makeMatrix(basis.decoder), hostDecoder: basis.decoder, factors: basis.factors),
      for: place, operations: operations, team: needsTeam ? team : ThreadTeam(size: 1))
  }

  /// The sums of all segments, of which there was one at least, and their record.
  ///
  /// - Throws: `Failure` of kind malformed where they are sums of nothing.
  public func finish() throws -> (sums: GradientSums, record: OutputRecord) {
    let all = found!
    all.finish()
    guard !all.places.isEmpty else {
      throw Failure(.malformed, "no gradients: expected at least one record, found none")
    }
    if let place = all.places.sorted(by: { $0.key < $1.key }).first(where: { $0.value.weight == 0 })?.key {
      throw Failure(.malformed, "\(place): no gradients: expected at least one recorded position, found none")
    }
    return (all, all.record(of: agreement.texts))
  }

  /// Writes the record as a stream of its own.
  public func write(_ record: OutputRecord, to output: StreamWriter) throws {
    let places = found!.places
    var provenance = agreement.joined!
    // Where nothing was multiplied, nothing was rounded.
    if operations != nil { provenance.merge(compute.provenance) { $1 } }
    provenance["places"] = PlaceList(places.keys.sorted()).description
    provenance["samples"] = String(places.values.map(\.samples.count).max()!)
    try output.begin(.aggregates, provenance: Provenance.extending(provenance))
    try output.write(record, batch: 0)
    try output.end()
    try output.finish()
  }
}
