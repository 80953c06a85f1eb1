import Glibc

/// What the machine has, or a cgroup lets this process have of it. Beyond it the kernel kills without a word, so that
/// who takes much asks first.
public struct MemoryLimit: Sendable {
  let bytes: Int
  /// In words.
  let reason: String

  /// The smaller of the two.
  static let smallest: MemoryLimit? = {
    let group = ofGroup.map { MemoryLimit(bytes: $0, reason: "the limit of the cgroup is \($0)") }
    let machine = ofMachine.map { MemoryLimit(bytes: $0, reason: "the machine has \($0)") }
    return [group, machine].compactMap { $0 }.min { $0.bytes < $1.bytes }
  }()

  /// What a stream may hold on its way between threads, beside the record that is at work: 1/256 of it all, but at least
  /// 64 MB and at most 1 GB; and never more than an eighth of what `ulimit` leaves to the process.
  public static let ofTransit: Int = {
    let share = min(max((smallest?.bytes ?? 0) / 256, 64 << 20), 1 << 30)
    let limits = [RLIMIT_AS, RLIMIT_DATA].compactMap { resource -> Int? in
      var limit = rlimit()
      guard getrlimit(__rlimit_resource_t(resource.rawValue), &limit) == 0, limit.rlim_cur < 1 << 62 else { return nil }
      return Int(limit.rlim_cur) / 8
    }
    return min(share, limits.min() ?? .max)
  }()

  /// Memory and swap space.
  private static var ofMachine: Int? {
    let kilobytes = lines(of: "/proc/meminfo").compactMap { line -> Int? in
      let words = line.split(separator: " ")
      return words.count == 3 && ["MemTotal:", "SwapTotal:"].contains(words[0]) ? Int(words[1]) : nil
    }
    return kilobytes.isEmpty ? nil : kilobytes.reduce(0, +) * 1024
  }

  /// Nil where there is no limit. The smallest of those that can be found, of cgroups of either version.
  private static let ofGroup: Int? = {
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
