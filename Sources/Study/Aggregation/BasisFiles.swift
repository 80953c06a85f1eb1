import SparseAutoencoders
import SystemIO
import TensorOperations
import TensorStream

/// Finds the decoders that factored gradients need.
public struct BasisFiles {
  /// Where the autoencoders lie now, with {layer} in it; otherwise where the stream says.
  private let override: String?
  private let threads: Int
  /// The places whose decoders are wanted.
  private let isWanted: (Place) -> Bool
  /// The references that are in use.
  private var references: [Place: BasisReference] = [:]
  /// Places whose decoder the stream carries and has not shown yet.
  private var awaited: Set<Place> = []

  /// - Parameters:
  ///   - threads: how many files may be read at a time.
  ///   - isWanted: of which places decoders are looked for at all.
  public init(override: String?, threads: Int, isWanted: @escaping (Place) -> Bool = { _ in true }) {
    (self.override, self.threads, self.isWanted) = (override, threads, isWanted)
  }

  /// Shows the decoders that the segment's begin record names and that were not shown before: from here on they multiply
  /// the gradients of their places.
  public mutating func find(_ segment: Segment, show: (Place, HostBasis) throws -> Void) throws {
    var wanted: [(place: Place, reference: BasisReference)] = []
    for place in try segment.places(of: .basis) where isWanted(place) {
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
    for ((place, _), basis) in zip(wanted, bases) { try show(place, basis) }
  }

  /// Shows the decoders that a record of the stream carries; false where it carries none.
  public mutating func find(_ record: Record, show: (Place, HostBasis) throws -> Void) throws -> Bool {
    let places = try record.places(of: .basis)
    for place in places where isWanted(place) {
      let name = PlaceValue.basis.name(place)
      let values = try record.tensor(name, shape: [nil, nil], of: Float.self)
      guard !values.isEmpty else { throw record.failure("tensor \(name): expected a decoder, found none") }
      let shape = record.header[name]!.shape
      let copy = AlignedBuffer(capacity: values.count * MemoryLayout<Float>.stride)
      copy.address.copyMemory(from: values.baseAddress!, byteCount: values.count * MemoryLayout<Float>.stride)
      references[place] = nil
      awaited.remove(place)
      let decoder = Matrix(
        rows: shape[0], columns: shape[1], isColumnMajor: false, leadingDimension: shape[1], type: .f32,
        address: UnsafeRawPointer(copy.address), owner: copy)
      try show(place, HostBasis(decoder: decoder))
    }
    if let place = awaited.sorted().first(where: { record.has(PlaceValue.gradient.name($0)) }) {
      throw record.failure(
        "\(place): expected a record with its decoder, \(PlaceValue.basis.name(place)), before this one")
    }
    return !places.isEmpty
  }

  private func open(_ reference: BasisReference, _ place: Place) throws -> HostBasis {
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
    return HostBasis(
      decoder: try Matrix(autoencoder.parameters.decoder, asFloat: true), factors: autoencoder.parameters.decoderFactors
    )
  }
}
