import Glibc
import SystemIO

/// Finds what the Hugging Face hub's own tools have downloaded. Nothing here reaches the network.
public enum HubCache {
  /// The folder that `name` means: a folder as it is, or a hub id's snapshot in the local cache.
  ///
  /// - Parameter what: what is looked for, for the message: "model", "tokenizer".
  /// - Throws: `Failure` of kind cannotOpen that gives the one command that brings it.
  public static func folder(_ name: String, what: String) throws -> String {
    if isFolder(name) { return name }
    guard isHubID(name) else {
      throw Failure(.cannotOpen, "\(name): no such \(what): expected a folder or a hub id such as Qwen/Qwen2.5-0.5B")
    }
    let repository = "\(root)/models--\(name.split(separator: "/").joined(separator: "--"))"
    if let revision = try? InputFile(path: "\(repository)/refs/main").readAll(limit: 4096) {
      let commit = String(decoding: revision, as: UTF8.self).filter { $0.isHexDigit }
      let snapshot = "\(repository)/snapshots/\(commit)"
      if !commit.isEmpty, isFolder(snapshot) { return snapshot }
    }
    throw Failure(
      .cannotOpen, "\(name): the \(what) is neither a folder nor in \(root); this brings it: hf download \(name)")
  }

  public static func isFolder(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
  }

  public static func isFile(_ path: String) -> Bool {
    var status = stat()
    return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG
  }

  /// HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub, as huggingface_hub's constants.py has it.
  static var root: String {
    if let cache = environment("HF_HUB_CACHE") { return cache }
    if let home = environment("HF_HOME") { return "\(home)/hub" }
    let cache = environment("XDG_CACHE_HOME") ?? "\(environment("HOME") ?? "")/.cache"
    return "\(cache)/huggingface/hub"
  }

  private static func environment(_ name: String) -> String? {
    getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
  }

  /// `name` or `owner/name`, of the characters the hub allows.
  private static func isHubID(_ name: String) -> Bool {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    return (1...2).contains(parts.count)
      && parts.allSatisfy { part in
        !part.isEmpty && part.first != "." && !part.contains("--")
          && part.utf8.allSatisfy {
            (0x30...0x39).contains($0) || (0x41...0x5a).contains($0) || (0x61...0x7a).contains($0)
              || [0x2d, 0x2e, 0x5f].contains($0)
          }
      }
  }
}
