import JSON
import SystemIO
import TensorFiles
import TensorOperations

/// A model's folder as transformers reads it: config.json and the weights in one or several files.
///
/// The files are memory-mapped: opening reads samples of them, and processes side by side share what they read.
public final class Checkpoint {
  /// The name it was opened by, for messages and provenance.
  public let name: String
  public let description: DecoderDescription
  /// What tells this model from another: the hash of config.json, and that of the weights (see `WeightIdentity`).
  public let identity: [String: String]
  /// What a user should know of the folder, a sentence each.
  public let warnings: [String]
  /// By the names of `WeightTable`.
  private let tensors: [String: StoredTensor]
  private let places: [String: String]

  /// - Parameter name: a folder, or a hub id that is looked up in the local cache.
  /// - Throws: `Failure` of kind cannotOpen where the folder or a file is not there, of kind malformed where a file is
  ///   damaged, asks for another computation than that family's or does not have the model's tensors.
  public init(_ name: String) throws {
    self.name = name
    let folder = try Self.folder(name)
    let (description, configurationHash) = try Self.description(in: folder)
    self.description = description
    let files = try WeightFiles(in: folder)
    let named = try NamedTensors(files, description)
    (tensors, places) = (named.tensors, named.places)
    warnings = description.warnings.map { "\(folder)/\($0)" } + files.warnings + named.warnings
    identity = [
      "model": name, "model.config.xxh64": configurationHash, "model.weights.xxh64": try named.identity(),
    ]
  }

  /// What a model's configuration says, and the files that determine what the model computes: config.json, the weights
  /// and the index of several. The weights are not opened.
  ///
  /// - Throws: `Failure` as `init` does.
  public static func survey(_ name: String) throws -> (description: DecoderDescription, files: [String]) {
    let folder = try folder(name)
    let description = try description(in: folder).0
    let (path, files) = try WeightFiles.paths(in: folder)
    return (description, ["\(folder)/config.json"] + (files == [path] ? files : [path] + files))
  }

  private static func folder(_ name: String) throws -> String {
    guard isFile(name) else { return try HubCache.folder(name, what: "model") }
    throw Failure(.cannotOpen, "\(name): a file: expected the model's folder, \(SystemIO.folder(of: name))")
  }

  private static func description(in folder: String) throws -> (DecoderDescription, hash: String) {
    let listing = FolderListing(folder)
    guard try listing.hasFile("config.json") else {
      try listing.refuseAdapters()
      throw Failure(.cannotOpen, "\(folder): expected a model's config.json, found \(listing.found)")
    }
    let path = "\(folder)/config.json"
    let map = try MappedFile(path: path)
    guard map.bytes.count <= 16 << 20 else {
      throw Failure(.malformed, "\(path): too large: expected at most \(16 << 20) bytes")
    }
    let json: JSON
    do { json = try JSON(file: map.bytes, allowsNonfinite: true) } catch { throw error.at(path) }
    do { return (try DecoderDescription(json), ContentHash.of(map.bytes)) } catch { throw error.at(folder) }
  }

  /// Whether the tensor is there. All are but biases.
  func has(_ name: String) -> Bool { tensors[name] != nil }

  /// A tensor by its name of `WeightTable`: f32, bf16 or f16, contiguous, of the shape that the configuration gives it.
  func tensor(_ name: String) throws -> StoredTensor {
    guard let tensor = tensors[name] else { throw Failure(.bug, "\(self.name): no tensor \(name)") }
    return tensor
  }

  /// `FILE: tensor NAME has nan at element 17`, of the first weight by name that is no number.
  func placeOfNonfinite() -> String? {
    let block = 4096
    let values = UnsafeMutableBufferPointer<Float>.allocate(capacity: block)
    defer { values.deallocate() }
    for (name, tensor) in tensors.sorted(by: { $0.key < $1.key }) {
      guard let bytes = try? tensor.uncheckedElements() else { continue }
      for start in stride(from: 0, to: tensor.count, by: block) {
        let count = min(block, tensor.count - start)
        widen(values.baseAddress!, bytes.baseAddress! + start * tensor.type.size, count, tensor.type)
        if let place = firstNonfinite(UnsafeBufferPointer(rebasing: values[..<count])) {
          return "\(places[name]!) has \(values[place]) at element \(start + place)"
        }
      }
    }
    return nil
  }
}
