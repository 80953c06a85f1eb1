import Glibc
import SystemIO

/// Finds the autoencoders that a training with dictionary_learning has left below the current folder, whatever hidden
/// folder its demo has put them in, and wherever links lead.
enum AutoencoderSearch {
  /// The pattern of those of any of the layers.
  ///
  /// - Throws: `Failure` of kind cannotOpen where there are none, of kind usage where there are several sets.
  static func pattern(layers: [Int]) throws -> String {
    var roots: Set<String> = []
    var seen: Set<String> = []
    let names = Set(layers.map { "mlp_out_layer_\($0)" })
    func search(_ folder: String, depth: Int) {
      var status = stat()
      guard stat(folder.isEmpty ? "." : folder, &status) == 0, status.st_mode & S_IFMT == S_IFDIR,
        seen.insert("\(status.st_dev):\(status.st_ino)").inserted
      else { return }
      for name in namesInFolder(folder.isEmpty ? "." : folder) where name != ".git" && name != "node_modules" {
        let path = folder.isEmpty ? name : "\(folder)/\(name)"
        if names.contains(name), isFolder("\(path)/trainer_0") { roots.insert(folder) }
        if depth < 5, !name.hasPrefix(".build") { search(path, depth: depth + 1) }
      }
    }
    search("", depth: 0)
    let patterns = roots.sorted().map { ($0.isEmpty ? "" : "\($0)/") + "mlp_out_layer_{layer}/trainer_0" }
    switch patterns.count {
    case 0:
      throw Failure(
        .cannotOpen,
        "no autoencoders found at */mlp_out_layer_{layer}/trainer_0 in \(absolutePath(".")): use --sae to say where they are"
      )
    case 1: return patterns[0]
    default:
      let choices = patterns.map { "--sae \(shellQuoted("./\($0)"))" }.joined(separator: ", or ")
      throw Failure(.usage, "several sets of autoencoders below \(absolutePath(".")): choose one: \(choices)")
    }
  }
}
