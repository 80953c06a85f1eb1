import SystemIO

/// The files of one autoencoder: tensors, and the folders in which its configuration may lie.
struct AutoencoderFiles {
  let weights: String
  /// Nearest first.
  private let folders: [String]

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
    guard !isFolder(path) else {
      weights = try Self.weights(in: path)
      folders = [path]
      return
    }
    let folder = SystemIO.folder(of: path)
    // The intermediate checkpoints of dictionary_learning lie one folder below their configuration.
    let isCheckpoint = folder.split(separator: "/").last == "checkpoints"
    folders = isCheckpoint ? [folder, SystemIO.folder(of: folder)] : [folder]
    weights = Self.configurationNames.contains { path.hasSuffix("/\($0)") } ? try Self.weights(in: folder) : path
  }

  /// The configuration of that name, whatever kind of file it is; nil where there is none.
  func configuration(named name: String) -> String? {
    folders.map { "\($0)/\(name)" }.first { nameExists($0) }
  }

  /// The file of tensors and the configurations.
  var all: [String] { [weights] + Self.configurationNames.compactMap { configuration(named: $0) } }

  private static func locate(_ name: String) throws -> String {
    // A pipe or a device is refused when it is opened.
    if nameExists(name) { return name }
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    let repository = parts.prefix(2).joined(separator: "/")
    let inside = parts.dropFirst(2).joined(separator: "/")
    // What begins like a path is one, whatever the hub might call the same.
    guard parts.count >= 2, let first = parts.first, !first.isEmpty, !first.hasPrefix(".") else {
      throw Failure(.cannotOpen, "\(name): cannot open: no such folder or file, nor a hub id such as owner/repository")
    }
    let folder: String
    do {
      folder = try HubCache.folder(repository, what: "autoencoder")
    } catch let failure as Failure {
      let command = "hf download \(repository)"
      guard !inside.isEmpty, failure.description.hasSuffix(command) else { throw failure }
      // A repository of autoencoders can have hundreds of gigabytes.
      throw Failure(failure.kind, "\(failure.description) --include \(shellQuoted("\(inside)*"))")
    }
    let path = inside.isEmpty ? folder : "\(folder)/\(inside)"
    guard nameExists(path) else {
      throw Failure(
        .cannotOpen,
        "\(path): no such file in the local cache; this brings it: hf download \(shellQuoted(repository)) "
          + "--include \(shellQuoted("\(inside)*"))")
    }
    return path
  }

  private static func weights(in folder: String) throws -> String {
    let names = namesInFolder(folder)
    let candidates = weightFiles(among: names)
    guard candidates.count == 1 else {
      throw Failure(
        .cannotOpen,
        "\(folder): expected one file of tensors, such as \(weightNames[0]), found "
          + (candidates.isEmpty ? whatElse(names, in: folder) : listed(candidates)))
    }
    return "\(folder)/\(candidates[0])"
  }

  private static func weightFiles(among names: [String]) -> [String] {
    let known = weightNames.filter { names.contains($0) }
    return known.isEmpty
      ? names.filter { name in
        [".pt", ".safetensors", ".npz"].contains { name.hasSuffix($0) } && !otherNames.contains(name)
      } : known
  }

  /// What a folder without tensors holds, and where below it there are some.
  private static func whatElse(_ names: [String], in folder: String) -> String {
    guard !names.isEmpty else { return "an empty folder" }
    // Enough to recognise a folder by; one of a whole disk is not searched.
    let subfolders = names.prefix(64).filter { isFolder("\(folder)/\($0)") }
    var deeper: [String] = []
    for subfolder in subfolders {
      let inner = namesInFolder("\(folder)/\(subfolder)")
      if !weightFiles(among: inner).isEmpty {
        deeper.append(subfolder)
      } else {
        deeper += inner.prefix(64).filter { !weightFiles(among: namesInFolder("\(folder)/\(subfolder)/\($0)")).isEmpty }
          .map { "\(subfolder)/\($0)" }
      }
    }
    guard let first = deeper.first else { return listed(names) }
    let numbered = deeper.count > 1 ? ", with {layer} in place of a layer's number for several" : ""
    return
      "folders that have one: \(listed(deeper)); this names one: --sae \(shellQuoted("\(folder)/\(first)"))\(numbered)"
  }

  private static func listed(_ names: [String]) -> String {
    names.prefix(8).joined(separator: ", ") + (names.count > 8 ? ", …" : "")
  }
}
