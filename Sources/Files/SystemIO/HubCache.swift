import Glibc

/// Finds what the Hugging Face hub's own tools have downloaded. Nothing here reaches the network.
public enum HubCache {
  /// The folder that `name` means: a folder as it is, or a hub id's snapshot in the local cache.
  ///
  /// - Parameter what: what is looked for, for the message: "model", "tokenizer".
  /// - Throws: `Failure` of kind cannotOpen that gives the one command that brings it.
  public static func folder(_ name: String, what: String) throws -> String {
    if isFolder(name) { return name }
    guard kindOfFile(at: name) == "nothing" else {
      throw Failure(.cannotOpen, "\(name): cannot open: expected a \(what)'s folder, found \(kindOfFile(at: name))")
    }
    guard isHubID(name) else {
      throw Failure(.cannotOpen, "\(name): no such \(what): expected a folder or a hub id such as Qwen/Qwen2.5-0.5B")
    }
    let repository = "\(root)/models--\(name.split(separator: "/").joined(separator: "--"))"
    if let commit = revision(at: "\(repository)/refs/main") {
      let snapshot = "\(repository)/snapshots/\(commit)"
      if isFolder(snapshot) { return snapshot }
    }
    let others = namesInFolder("\(repository)/refs").compactMap { ref in
      revision(at: "\(repository)/refs/\(ref)").map { (ref, "\(repository)/snapshots/\($0)") }
    }
    if let (ref, snapshot) = others.first(where: { $0.0 != "main" && isFolder($0.1) }) {
      throw Failure(
        .cannotOpen,
        "\(name): the \(what) is in \(root) only in its revision \(ref): use the folder \(snapshot), "
          + "or download the main revision: hf download \(name)")
    }
    throw Failure(
      .cannotOpen, "\(name): the \(what) is neither a folder nor in \(root); this brings it: hf download \(name)")
  }

  /// The commit that a file of a repository's `refs` names.
  private static func revision(at path: String) -> String? {
    guard isFile(path), let text = try? InputFile(path: path).readAll(limit: 4096) else { return nil }
    let commit = String(decoding: text, as: UTF8.self).filter { $0.isHexDigit }
    return commit.isEmpty ? nil : commit
  }

  /// HF_HUB_CACHE, else HUGGINGFACE_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub, with ~ and $NAME in
  /// them replaced: huggingface_hub's constants.py. A variable that is set to nothing is set there, and is here.
  static var root: String {
    let home = environment("HF_HOME") ?? joined(environment("XDG_CACHE_HOME") ?? expanded("~/.cache"), "huggingface")
    let cache = environment("HF_HUB_CACHE") ?? environment("HUGGINGFACE_HUB_CACHE") ?? joined(expanded(home), "hub")
    let root = expanded(cache)
    return root.isEmpty ? "." : root
  }

  private static func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

  /// Python's os.path.join.
  private static func joined(_ folder: String, _ name: String) -> String {
    folder.isEmpty || folder.hasSuffix("/") ? folder + name : "\(folder)/\(name)"
  }

  /// Python's os.path.expandvars of os.path.expanduser: `~`, `~USER`, `$NAME` and `${NAME}`, as they stand where there
  /// is no such user or variable.
  static func expanded(_ path: String) -> String {
    let path = Array(expandedUser(path).utf8)
    var result: [UInt8] = []
    var position = 0
    while position < path.count {
      let rest = path[(position + 1)...]
      guard path[position] == UInt8(ascii: "$"), let first = rest.first else {
        result.append(path[position])
        position += 1
        continue
      }
      let isBraced = first == UInt8(ascii: "{")
      let name =
        isBraced ? rest.dropFirst().prefix { $0 != UInt8(ascii: "}") } : rest.prefix(while: isNameCharacter)
      let end = name.endIndex + (isBraced ? 1 : 0)
      if !name.isEmpty, end <= path.count, let value = environment(String(decoding: name, as: UTF8.self)) {
        result += value.utf8
      } else {
        result += path[position..<min(end, path.count)]
      }
      position = min(end, path.count)
    }
    return String(decoding: result, as: UTF8.self)
  }

  private static func isNameCharacter(_ byte: UInt8) -> Bool {
    (0x30...0x39).contains(byte) || (0x41...0x5a).contains(byte) || (0x61...0x7a).contains(byte)
      || byte == UInt8(ascii: "_")
  }

  private static func expandedUser(_ path: String) -> String {
    guard path.hasPrefix("~") else { return path }
    let user = path.dropFirst().prefix { $0 != "/" }
    let entry = user.isEmpty ? getpwuid(getuid()) : getpwnam(String(user))
    guard
      let home = user.isEmpty
        ? environment("HOME") ?? entry.map({ String(cString: $0.pointee.pw_dir) })
        : entry.map({ String(cString: $0.pointee.pw_dir) })
    else { return path }
    let expanded = (home.hasSuffix("/") ? String(home.dropLast()) : home) + path.dropFirst(1 + user.count)
    return expanded.isEmpty ? "/" : expanded
  }

  /// `name` or `owner/name`, by the rules of huggingface_hub's validate_repo_id.
  private static func isHubID(_ name: String) -> Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard (1...2).contains(parts.count), name.utf8.count <= 96, !name.hasSuffix(".git") else { return false }
    guard !name.contains("--"), !name.contains(".."), let first = name.utf8.first, let last = name.utf8.last else {
      return false
    }
    let signs = [UInt8(ascii: "-"), UInt8(ascii: ".")]
    return !signs.contains(first) && !signs.contains(last)
      && parts.allSatisfy { part in
        !part.isEmpty && part.utf8.allSatisfy { isNameCharacter($0) || signs.contains($0) }
      }
  }
}
