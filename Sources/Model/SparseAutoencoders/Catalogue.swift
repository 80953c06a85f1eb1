import SystemIO

/// What lies below a folder or in a repository of the hub's cache: every autoencoder, and what looks like one and is
/// none.
public struct ListedAutoencoder {
  /// Within what was listed, as it continues a path; `.` is the folder itself.
  public let name: String
  public let result: Result<SparseAutoencoder, Failure>

  /// - Parameter name: a folder, a file, or a hub id with or without a path within the repository.
  /// - Throws: `Failure` of kind cannotOpen where there is no such place.
  public static func all(below name: String) throws -> [ListedAutoencoder] {
    let (root, names) = try AutoencoderFiles.candidates(below: name)
    var options = SparseAutoencoder.Options()
    // Its norms, of no matter to a list, would be read from end to end.
    options.normalizesDecoder = false
    return names.map { name in
      let path = name == "." ? root : "\(root)/\(name)"
      do {
        return ListedAutoencoder(name: name, result: .success(try SparseAutoencoder(path, options: options)))
      } catch {
        return ListedAutoencoder(
          name: name, result: .failure(error as? Failure ?? Failure(.bug, "\(error)")))
      }
    }
  }
}

extension SparseAutoencoder {
  /// Where it was made for, by its configuration or else by the names of its folders: `attn_z.12`, or in words where a
  /// model's passes do not stop there; nil where nothing tells.
  public var placeInWords: String? { provenance.completed(byFoldersOf: path).placeInWords }
}
