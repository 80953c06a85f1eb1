import SystemIO

/// The names in a model's folder, for choosing files and for saying what is there instead of them.
struct FolderListing {
  private let folder: String
  private let names: [String]

  init(_ folder: String) {
    self.folder = folder
    names = namesInFolder(folder)
  }

  /// Whether a regular file or a link to one has that name.
  ///
  /// - Throws: `Failure` of kind cannotOpen where something else has it, which nobody meant to be passed over.
  func hasFile(_ name: String) throws -> Bool {
    guard names.contains(name) else { return false }
    let path = "\(folder)/\(name)"
    if isFile(path) { return true }
    throw Failure(.cannotOpen, "\(path): cannot open: expected a file, found \(kindOfFile(at: path))")
  }

  /// An adapter changes the model that it lies beside: transformers with peft applies it.
  ///
  /// - Throws: `Failure` of kind malformed that names it.
  func refuseAdapters() throws(Failure) {
    guard let adapter = names.first(where: { $0 == "adapter_config.json" || $0.hasPrefix("adapter_model.") }) else {
      return
    }
    let remedy =
      names.contains { $0.hasPrefix("model") || $0.hasPrefix("pytorch_model") }
      ? "merge it into the model (peft's merge_and_unload), or move it away to have the model without it"
      : "expected a whole model, as peft's merge_and_unload makes it"
    throw Failure(.malformed, "\(folder)/\(adapter): an adapter, which is not applied: \(remedy)")
  }

  /// A folder in which nothing is read as weights: what is there and what would be.
  var withoutWeights: Failure {
    Failure(
      .cannotOpen,
      "\(folder): expected model.safetensors or pytorch_model.bin, or an index of several such as "
        + "model.safetensors.index.json, found \(found)")
  }

  /// What is there, in words: of files that people take for weights the most telling one.
  var found: String {
    func first(_ condition: (String) -> Bool) -> String? { names.first(where: condition) }
    if let name = first({ [".incomplete", ".part", ".crdownload", ".aria2", ".tmp"].contains(where: $0.hasSuffix) }) {
      return "\(name), a download that did not finish"
    }
    if let name = first({ $0.contains("-of-") && ($0.hasSuffix(".safetensors") || $0.hasSuffix(".bin")) }) {
      return "\(name) without an index beside it: fetch that too"
    }
    if let name = first({ $0.hasPrefix("model.") && $0.hasSuffix(".safetensors") }) {
      return "\(name), a variant, which is not chosen by itself: rename it to model.safetensors"
    }
    if let name = first({ $0.hasSuffix(".gguf") }) {
      return "\(name): GGUF files are not read; the model that it was made from is"
    }
    if let name = first({ [".h5", ".msgpack", ".onnx", ".ot", ".pth", ".distcp"].contains(where: $0.hasSuffix) }) {
      return "\(name), a format that is not read"
    }
    guard !names.isEmpty else { return "an empty folder" }
    return names.prefix(8).joined(separator: ", ") + (names.count > 8 ? ", …" : "")
  }
}
