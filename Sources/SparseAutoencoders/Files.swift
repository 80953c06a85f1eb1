import HubCache
import SystemIO

/// The files of one autoencoder: tensors, and a configuration beside them where there is one.
struct Files {
  let weights: String
  let configuration: String?

  /// The names that the libraries give to files of tensors.
  private static let weightNames = [
    "ae.pt", "sae_weights.safetensors", "sae.safetensors", "params.npz", "params.safetensors",
  ]
  private static let configurationNames = ["config.json", "cfg.json"]
  /// Tensors that lie beside an autoencoder's own.
  private static let otherNames = [
    "sparsity.safetensors", "activations_store_state.safetensors", "trainer_state.pt", "optimizer.pt",
  ]

  /// - Parameter name: a folder, a file, or a hub id with or without a path within the repository.
  init(finding name: String) throws {
    let path = try Self.locate(name)
    if HubCache.isFolder(path) {
      weights = try Self.weights(in: path)
      configuration = Self.configuration(in: path)
    } else {
      let folder = Self.folder(of: path)
      let parent = Self.folder(of: folder)
      // The intermediate checkpoints of dictionary_learning lie one folder below their configuration.
      let isCheckpoint = folder.split(separator: "/").last == "checkpoints"
      configuration = Self.configuration(in: folder) ?? (isCheckpoint ? Self.configuration(in: parent) : nil)
      weights = Self.configurationNames.contains { path.hasSuffix("/\($0)") } ? try Self.weights(in: folder) : path
    }
  }

  private static func locate(_ name: String) throws -> String {
    if HubCache.isFolder(name) || HubCache.isFile(name) { return name }
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    let repository = parts.prefix(2).joined(separator: "/")
    let inside = parts.dropFirst(2).joined(separator: "/")
    // What begins like a path is one, whatever the hub might call the same.
    guard parts.count >= 2, let first = parts.first, !first.isEmpty, !first.hasPrefix(".") else {
      throw Failure(.cannotOpen, "\(name): cannot open: expected a folder, a file or a hub id such as owner/repository")
    }
    let folder: String
    do {
      folder = try HubCache.folder(repository, what: "autoencoder")
    } catch let failure as Failure {
      let command = "hf download \(repository)"
      guard !inside.isEmpty, failure.description.hasSuffix(command) else { throw failure }
      // A repository of autoencoders can have hundreds of gigabytes.
      throw Failure(failure.kind, "\(failure.description) --include '\(inside)*'")
    }
    let path = inside.isEmpty ? folder : "\(folder)/\(inside)"
    guard HubCache.isFolder(path) || HubCache.isFile(path) else {
      throw Failure(
        .cannotOpen,
        "\(path): no such file in the local cache; this brings it: hf download \(repository) --include '\(inside)*'")
    }
    return path
  }

  private static func weights(in folder: String) throws -> String {
    let names = namesInFolder(folder)
    let known = weightNames.filter { names.contains($0) }
    let candidates =
      known.isEmpty
      ? names.filter { name in
        [".pt", ".safetensors", ".npz"].contains { name.hasSuffix($0) } && !otherNames.contains(name)
      } : known
    guard candidates.count == 1 else {
      let found = candidates.isEmpty ? names : candidates
      let listed = found.prefix(8).joined(separator: ", ") + (found.count > 8 ? ", …" : "")
      throw Failure(
        .cannotOpen,
        "\(folder): expected one file of tensors, such as \(weightNames[0]), found "
          + (listed.isEmpty ? "an empty folder" : listed))
    }
    return "\(folder)/\(candidates[0])"
  }

  private static func configuration(in folder: String) -> String? {
    configurationNames.map { "\(folder)/\($0)" }.first { HubCache.isFile($0) }
  }

  private static func folder(of path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "." }
    return slash == path.startIndex ? "/" : String(path[..<slash])
  }
}
