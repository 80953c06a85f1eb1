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
  /// The references that are in use, by layer.
  private var references: [Int: BasisReference] = [:]
  /// Layers whose decoder the stream carries and has not shown yet.
  private var awaited: Set<Int> = []

  /// - Parameters:
  ///   - threads: how many files may be read at a time.
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
    var wanted: [(layer: Int, reference: BasisReference)] = []
    for (key, text) in segment.provenance.sorted(by: { $0.key < $1.key }) where key.hasPrefix("basis.") {
      guard let layer = Int(key.dropFirst("basis.".count)) else {
        throw Failure(.malformed, "begin record: \(key): expected a layer's number after basis.")
      }
      let reference: BasisReference
      do { reference = try BasisReference(parsing: text) } catch { throw error.at("begin record: \(key)") }
      if reference.isEmbedded { awaited.insert(layer) }
      let isKnown = references[layer].map { $0 == reference || $0.isSameDecoder(as: reference) } ?? false
      guard !isKnown, !reference.isEmbedded else { continue }
      references[layer] = reference
      wanted.append((layer, reference))
    }
    // Their hashes are compared, which reads them from end to end.
    let bases = try ThreadTeam(size: min(threads, wanted.count)).map(wanted) { try open($0.reference, $0.layer) }
    for ((layer, _), basis) in zip(wanted, bases) {
      let operations = try operations()
      let decoder = operations.makeMatrix(basis.decoder)
      sums.use(Basis(decoder: decoder, factors: basis.factors), for: layer, operations: operations)
    }
  }

  /// Has `sums` multiply by the decoders that a record of the stream carries; false where it carries none.
  public mutating func use(_ record: Record, in sums: GradientSums) throws -> Bool {
    let tensors = record.header.tensors.filter { $0.name.hasPrefix("basis.") }
    for tensor in tensors {
      guard let layer = Int(tensor.name.dropFirst("basis.".count)) else {
        throw record.failure("tensor \(tensor.name): expected a layer's number after basis.")
      }
      let values = try record.tensor(tensor.name, shape: [nil, nil], of: Float.self)
      guard !values.isEmpty else { throw record.failure("tensor \(tensor.name): expected a decoder, found none") }
      let operations = try operations()
      let copy = operations.makeTensor(rows: tensor.shape[0], columns: tensor.shape[1])
      operations.upload(copy, from: values.baseAddress!)
      references[layer] = nil
      awaited.remove(layer)
      sums.use(Basis(decoder: Matrix(copy)), for: layer, operations: operations)
    }
    if let layer = awaited.sorted().first(where: { record.has("grad.\($0)") }) {
      throw record.failure("layer \(layer): its decoder has not come: expected a record with basis.\(layer) before")
    }
    return !tensors.isEmpty
  }

  private func open(_ reference: BasisReference, _ layer: Int) throws -> Basis {
    var options = SparseAutoencoder.Options()
    options.normalizesDecoder = !reference.keepsDecoderNorms
    options.k = 1  // The decoder does not depend on it.
    let autoencoder = try SparseAutoencoder(override ?? reference.path, layer: layer, options: options)
    let hash = try autoencoder.contentHash()
    guard hash == reference.hash else {
      throw Failure(
        .malformed,
        "\(autoencoder.path): not the autoencoder of the stream: expected XXH64 \(reference.hash), found \(hash)")
    }
    return Basis(
      decoder: try Matrix(autoencoder.parameters.decoder, asFloat: true), factors: autoencoder.parameters.decoderFactors
    )
  }
}
