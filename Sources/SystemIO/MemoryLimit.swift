/// What a cgroup lets this process have. Beyond it the kernel kills without a word, so that who takes much asks first.
enum MemoryLimit {
  /// Bytes; nil where there is no limit. The smallest of those that can be found, of cgroups of either version.
  static let bytes: Int? = {
    let groups = lines(of: "/proc/self/cgroup").map { $0.split(separator: ":", omittingEmptySubsequences: false) }
    func path(_ controller: String) -> Substring {
      groups.first { $0.count == 3 && $0[1].split(separator: ",").contains(controller[...]) }?[2] ?? ""
    }
    let unified = groups.first { $0.count == 3 && $0[0] == "0" && $0[1].isEmpty }?[2] ?? ""
    let root = "/sys/fs/cgroup"
    return [
      "\(root)\(unified)/memory.max", "\(root)/memory.max", "\(root)/memory\(path("memory"))/memory.limit_in_bytes",
      "\(root)/memory/memory.limit_in_bytes",
    ].compactMap { lines(of: $0).first.flatMap { Int($0) } }.min()
  }()

  private static func lines(of path: String) -> [Substring] {
    guard let text = try? InputFile(path: path).readAll(limit: 65_536) else { return [] }
    return String(decoding: text, as: UTF8.self).split(separator: "\n")
  }
}
