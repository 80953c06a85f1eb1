import SystemIO

/// The files of one autoencoder: tensors, and the folders in which its configuration may lie.
struct AutoencoderFiles {
  let weights: String
  /// Nearest first.
  private let folders: [String]

  /// The names that the libraries give to files of tensors; the last is Llama Scope's, one folder below.
  private static let weightNames = [
    "ae.pt", "sae_weights.safetensors", "sae.safetensors", "params.npz", "params.safetensors",
    "checkpoints/final.safetensors",
  ]
  private static let otherEndings = [".pt", ".pth", ".safetensors", ".npz"]
  private static let configurationNames = ["config.json", "cfg.json", "hyperparams.json"]
  /// Tensors that lie beside an autoencoder's own.
  private static let otherNames = [
    "sparsity.safetensors", "activations_store_state.safetensors", "trainer_state.pt", "optimizer.pt",
  ]

  /// - Parameter name: a folder, a file, or a hub id with or without a path within the repository; `*` in it stands for
  ///   any part of a name, of which there must be one.
  init(finding name: String) throws {
    let path = try Self.locate(name)
    if isFolder(path) {
      weights = try Self.weights(in: path)
    } else {
      let isConfiguration = Self.configurationNames.contains { path.hasSuffix("/\($0)") }
      weights = isConfiguration ? try Self.weights(in: SystemIO.folder(of: path)) : path
    }
    let folder = SystemIO.folder(of: weights)
    // The checkpoints of dictionary_learning and of Llama Scope lie one folder below their configuration.
    let isCheckpoint = folder.split(separator: "/").last == "checkpoints"
    folders = isCheckpoint ? [folder, SystemIO.folder(of: folder)] : [folder]
  }

  /// The configuration of that name, whatever kind of file it is; nil where there is none.
  func configuration(named name: String) -> String? {
    folders.map { "\($0)/\(name)" }.first { nameExists($0) }
  }

  /// The `NAME_cfg.json` beside a `NAME.pt`.
  var namedConfiguration: String? {
    guard weights.hasSuffix(".pt") else { return nil }
    let path = "\(weights.dropLast(".pt".count))_cfg.json"
    return nameExists(path) ? path : nil
  }

  /// The file of tensors and the configurations.
  var all: [String] {
    [weights] + Self.configurationNames.compactMap { configuration(named: $0) } + [namedConfiguration].compactMap { $0 }
  }

  /// Everything below a folder, or of a repository in the hub's cache, that could be an autoencoder, as `init` takes it,
  /// without what is before it: a folder with a file of tensors, or such a file.
  static func candidates(below name: String) throws -> (root: String, names: [String]) {
    let root = try locate(name)
    guard isFolder(root) else { return (SystemIO.folder(of: root), [String(root.split(separator: "/").last ?? "")]) }
    var found: [String] = []
    func search(_ folder: String, _ depth: Int) {
      let path = folder.isEmpty ? root : "\(root)/\(folder)"
      let inside = { (name: String) in folder.isEmpty ? name : "\(folder)/\(name)" }
      let names = namesInFolder(path)
      let folders = names.filter { isFolder("\(path)/\($0)") }
      let files = weightFiles(in: path, among: names.filter { !folders.contains($0) })
      // A library's own name for the file says nothing that its folder's does not.
      let isWhole = files.count == 1 && weightNames.contains(files[0])
      if isWhole { found.append(folder.isEmpty ? "." : folder) } else { found += files.map(inside) }
      // Enough for every layout that is published; a link to a folder above it leads no further.
      guard depth < 8 else { return }
      for name in folders where !(name == "checkpoints" && isWhole) { search(inside(name), depth + 1) }
    }
    search("", 0)
    return (root, found)
  }

  private static func locate(_ name: String) throws -> String {
    // A pipe or a device is refused when it is opened.
    if nameExists(name) { return name }
    if name.contains("*") { return try theMatch(of: name) }
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

  /// The one folder or file that a name with `*` in it stands for. Which of several was meant is the caller's to say.
  private static func theMatch(of pattern: String) throws -> String {
    var parts = pattern.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
    let first = parts.firstIndex { $0.contains("*") }!
    var root = parts[..<first].joined(separator: "/")
    if root.isEmpty { root = pattern.hasPrefix("/") ? "/" : "." }
    parts.removeFirst(first)
    let base = try locate(root)
    var matches = [base]
    var names: [String] = []
    for part in parts where !part.isEmpty {
      let pieces = part.split(separator: "*", omittingEmptySubsequences: false)
      let folders = matches
      names = folders.flatMap { namesInFolder($0) }
      matches = folders.flatMap { folder in
        namesInFolder(folder).filter { pieces.count == 1 ? $0 == part : fits($0, pieces) }.map { "\(folder)/\($0)" }
      }
    }
    // What an interrupted download left may lack the tensors.
    matches = matches.filter { !isFolder($0) || (try? weights(in: $0)) != nil }
    guard matches.count == 1 else {
      let shown = matches.map { String($0.dropFirst(base.count + 1)) }
      guard matches.isEmpty else {
        throw Failure(
          .usage, "\(pattern): expected one match, found \(matches.count): \(listed(shown)); which of them is meant?")
      }
      throw Failure(
        .cannotOpen,
        "\(pattern): expected a match below \(base), found \(names.isEmpty ? "nothing" : listed(names.sorted()))")
    }
    return matches[0]
  }

  /// Whether a name begins with the first piece, ends with the last, and has the others in between in their order.
  private static func fits(_ name: String, _ pieces: [Substring]) -> Bool {
    var rest = name[...]
    guard rest.hasPrefix(pieces[0]) else { return false }
    rest = rest.dropFirst(pieces[0].count)
    for piece in pieces.dropFirst().dropLast() where !piece.isEmpty {
      guard let found = rest.firstRange(of: piece) else { return false }
      rest = rest[found.upperBound...]
    }
    return rest.hasSuffix(pieces.last!)
  }

  private static func weights(in folder: String) throws -> String {
    let names = namesInFolder(folder)
    let candidates = weightFiles(in: folder, among: names)
    guard candidates.count == 1 else {
      throw Failure(
        .cannotOpen,
        "\(folder): expected one file of tensors, such as \(weightNames[0]), found "
          + (candidates.isEmpty ? whatElse(names, in: folder) : listed(candidates)))
    }
    return "\(folder)/\(candidates[0])"
  }

  private static func weightFiles(in folder: String, among names: [String]) -> [String] {
    let known = weightNames.filter { $0.contains("/") ? nameExists("\(folder)/\($0)") : names.contains($0) }
    return known.isEmpty
      ? names.filter { name in otherEndings.contains { name.hasSuffix($0) } && !otherNames.contains(name) } : known
  }

  /// What a folder without tensors holds, and where below it there are some.
  private static func whatElse(_ names: [String], in folder: String) -> String {
    guard !names.isEmpty else { return "an empty folder" }
    // Enough to recognise a folder by; one of a whole disk is not searched.
    let subfolders = names.prefix(64).filter { isFolder("\(folder)/\($0)") }
    var deeper: [String] = []
    for subfolder in subfolders {
      let inner = namesInFolder("\(folder)/\(subfolder)")
      if !weightFiles(in: "\(folder)/\(subfolder)", among: inner).isEmpty {
        deeper.append(subfolder)
      } else {
        deeper += inner.prefix(64).map { "\(subfolder)/\($0)" }.filter { name in
          let path = "\(folder)/\(name)"
          return !weightFiles(in: path, among: namesInFolder(path)).isEmpty
        }
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
