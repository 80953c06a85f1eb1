import SparseAutoencoders
import SystemIO
import TensorOperations
import TensorStream

/// Finds the decoders that factored gradients need.
public struct BasisFiles {
  /// Where the autoencoders lie now, with {layer} in it; otherwise where the stream says.
  private let override: String?
  private let makeOperations: () throws -> any TensorOperations
  private var madeOperations: (any TensorOperations)?
  private let threads: Int
  private lazy var team = ThreadTeam(size: threads)
  /// The references that are in use.
  private var references: [Place: BasisReference] = [:]
  /// Places whose decoder the stream carries and has not shown yet.
  private var awaited: Set<Place> = []

  /// - Parameters:
  ///   - threads: how many files may be read at a time, and how many threads multiply what no device does.
  ///   - makeOperations: what decoders are multiplied with, which is made when the first one is there.
  public init(override: String?, threads: Int, makeOperations: @escaping () throws -> any TensorOperations) {
    self.override = override
    self.threads = threads
    self.makeOperations = makeOperations
  }

  private mutating func operations() throws -> any TensorOperations {
    if madeOperations == nil { madeOperations = try makeOperations() }
    return madeOperations!
  }

  /// Has `sums` multiply the segment's gradients by the decoders that its begin record names.
  public mutating func use(_ segment: Segment, in sums: GradientSums) throws {
    var wanted: [(place: Place, reference: BasisReference)] = []
    for place in try segment.places(of: .basis) {
      let key = PlaceValue.basis.name(place)
      let reference: BasisReference
      do { reference = try BasisReference(parsing: segment.provenance[key]!) } catch {
        throw error.at("begin record: \(key)")
      }
      if reference.isEmbedded { awaited.insert(place) }
      let isKnown = references[place].map { $0 == reference || $0.isSameDecoder(as: reference) } ?? false
      guard !isKnown, !reference.isEmbedded else { continue }
      references[place] = reference
      wanted.append((place, reference))
    }
    // Their hashes are compared, which reads them from end to end.
    let bases = try ThreadTeam(size: min(threads, wanted.count)).map(wanted) { try open($0.reference, $0.place) }
    for ((place, _), basis) in zip(wanted, bases) {
      let operations = try operations()
      use(basis.decoder, basis.factors, at: place, operations, in: sums)
    }
  }

  /// Has `sums` multiply by the decoders that a record of the stream carries; false where it carries none.
  public mutating func use(_ record: Record, in sums: GradientSums) throws -> Bool {
    let places = try record.places(of: .basis)
    for place in places {
      let name = PlaceValue.basis.name(place)
      let values = try record.tensor(name, shape: [nil, nil], of: Float.self)
      guard !values.isEmpty else { throw record.failure("tensor \(name): expected a decoder, found none") }
      let operations = try operations()
      let shape = record.header[name]!.shape
      let copy = AlignedBuffer(capacity: values.count * MemoryLayout<Float>.stride)
      copy.address.copyMemory(from: values.baseAddress!, byteCount: values.count * MemoryLayout<Float>.stride)
      references[place] = nil
      awaited.remove(place)
      let decoder = Matrix(
        rows: shape[0], columns: shape[1], isColumnMajor: false, leadingDimension: shape[1], type: .f32,
        address: UnsafeRawPointer(copy.address), owner: copy)
      use(decoder, nil, at: place, operations, in: sums)
    }
    if let place = awaited.sorted().first(where: { record.has(PlaceValue.gradient.name($0)) }) {
      throw record.failure(
        "\(place): its decoder has not come: expected a record with \(PlaceValue.basis.name(place)) before")
    }
    return !places.isEmpty
  }

  private mutating func use(
    _ decoder: Matrix, _ factors: [Float]?, at place: Place, _ operations: any TensorOperations, in sums: GradientSums
  ) {
    let basis = Basis(decoder: operations.makeMatrix(decoder), hostDecoder: decoder, factors: factors)
    let needsTeam = sums.choices.quantities.contains(.attribution)
    sums.use(basis, for: place, operations: operations, team: needsTeam ? team : ThreadTeam(size: 1))
  }

  private func open(
    _ reference: BasisReference, _ place: Place
  ) throws -> (decoder: Matrix, factors: [Float]?) {
    var options = SparseAutoencoder.Options()
    options.normalizesDecoder = !reference.keepsDecoderNorms
    options.k = 1  // The decoder does not depend on it.
    let autoencoder: SparseAutoencoder
    do { autoencoder = try SparseAutoencoder(override ?? reference.path, layer: place.layer, options: options) } catch {
      guard override == nil, let failure = error as? Failure, failure.kind == .cannotOpen else { throw error }
      throw Failure(
        .cannotOpen, "\(reference.path): the autoencoder is not where the stream says; --sae says where it lies now")
    }
    let hash = try autoencoder.contentHash()
    guard hash == reference.hash else {
      throw Failure(
        .malformed,
        "\(autoencoder.path): not the autoencoder of the stream: expected XXH64 \(reference.hash), found \(hash)")
    }
    return (try Matrix(autoencoder.parameters.decoder, asFloat: true), autoencoder.parameters.decoderFactors)
  }
}
