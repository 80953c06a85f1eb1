import Glibc

/// Cores that the scheduler lets this process use, within its cgroup's quota.
public func availableCores() -> Int {
  var cores = Int(sysconf(Int32(_SC_NPROCESSORS_ONLN)))
  // Glibc's module has no sched_getaffinity; the kernel shows the same mask here, in hexadecimal.
  let mask = fields(of: "/proc/self/status") { $0.first == "Cpus_allowed:" }?.last
  if let mask {
    let allowed = mask.compactMap(\.hexDigitValue).reduce(0) { $0 + $1.nonzeroBitCount }
    if allowed > 0 { cores = min(cores, allowed) }
  }
  if let quota = fields(of: "/sys/fs/cgroup/cpu.max", where: { $0.count == 2 }), let limit = Double(quota[0]),
    let period = Double(quota[1]), period > 0
  {
    cores = min(cores, Int((limit / period).rounded(.up)))
  }
  return max(cores, 1)
}

/// The words of the first line of a small file that satisfy `condition`.
private func fields(of path: String, where condition: ([Substring]) -> Bool) -> [Substring]? {
  guard let text = try? InputFile(path: path).readAll(limit: 65_536) else { return nil }
  return String(decoding: text, as: UTF8.self).split(separator: "\n")
    .map { $0.split(whereSeparator: \.isWhitespace) }.first(where: condition)
}
