import Glibc
import JSON
import SystemIO
import TensorFiles

/// The files of weights in a model's folder: of several kinds the one that transformers takes.
///
/// HF: modeling_utils.py, _get_resolved_checkpoint_files and load_state_dict.
struct WeightFiles {
  /// The names in the order in which they win.
  private static let single = ["model.safetensors", "pytorch_model.bin"]

  /// The file that the weights are in, or the index of several.
  let path: String
  /// By the names in the files, and where each lies.
  private(set) var tensors: [String: (tensor: StoredTensor, path: String)] = [:]
  /// Names that two files have, of which the last file's counts.
  private(set) var warnings: [String] = []

  init(in folder: String) throws {
    let (path, files) = try Self.paths(in: folder)
    self.path = path
    for file in files {
      for (name, tensor) in try Self.open(file) {
        if let other = tensors.updateValue((tensor, file), forKey: name) {
          warnings.append("\(other.path): tensor \(name): \(file) has it too, and that one is used")
        }
      }
    }
  }

  /// The file that the weights are in, or the index of several, and the files of weights themselves.
  static func paths(in folder: String) throws -> (path: String, files: [String]) {
    let listing = FolderListing(folder)
    try listing.refuseAdapters()
    guard let name = try single.flatMap({ [$0, "\($0).index.json"] }).first(where: listing.hasFile) else {
      throw listing.withoutWeights
    }
    let path = "\(folder)/\(name)"
    return (path, name.hasSuffix(".json") ? try files(ofIndex: path, in: folder) : [path])
  }

  /// The files that an index names, in the order of their names. All tensors of each count, whatever the index says of
  /// them, as in transformers.
  private static func files(ofIndex path: String, in folder: String) throws -> [String] {
    let map = try MappedFile(path: path)
    let index: JSON
    do { index = try JSON(file: map.bytes, allowsNonfinite: true) } catch { throw error.at(path) }
    guard let entries = index["weight_map"]?.members, !entries.isEmpty else {
      throw Failure(.malformed, "\(path): expected an object weight_map, found none")
    }
    var files: Set<String> = []
    for entry in entries {
      guard let file = entry.value.text, isBelowFolder(file) else {
        let tensor = String(decoding: entry.key, as: UTF8.self)
        let found = entry.value.text.map(JSON.quote) ?? "no text"
        throw Failure(
          .malformed,
          "\(path): \(tensor): expected the name of a file beside the index or in a folder beside it, found \(found)")
      }
      files.insert(file)
    }
    return files.sorted().map { "\(folder)/\($0)" }
  }

  private static func isBelowFolder(_ file: String) -> Bool {
    file.split(separator: "/", omittingEmptySubsequences: false).allSatisfy { !["", ".", ".."].contains($0) }
  }

  /// What a file holds is told by its name, as in transformers.
  private static func open(_ path: String) throws -> [String: StoredTensor] {
    if path.hasSuffix(".safetensors") { return try SafetensorsFile(path: path).storedTensors() }
    guard let entries = try TorchFile(path: path).value.entries else {
      throw Failure(.malformed, "\(path): expected a dict of tensors, found another object")
    }
    var tensors: [String: StoredTensor] = [:]
    for entry in entries {
      guard case .string(let name) = entry.key, let tensor = entry.value.tensor else {
        throw Failure(.malformed, "\(path): \(entry.key): expected a tensor, found \(entry.value.kind)")
      }
      tensors[name] = tensor
    }
    return tensors
  }
}
