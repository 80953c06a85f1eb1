import ArgumentParser
import Glibc
import SystemIO
import TensorStream

/// `0-23`, `0,5,10` or a mix, as the `--layers` flags take it.
public struct LayerList: ExpressibleByArgument, CustomStringConvertible, Equatable, Sendable {
  /// Ascending, without duplicates.
  public let layers: [Int]

  public init(_ layers: some Sequence<Int>) {
    self.layers = Set(layers).sorted()
  }

  public init?(argument: String) {
    // A list that a stream names may be long and repeat itself: memory is taken once.
    var isListed = [Bool](repeating: false, count: 10_000)
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { Self.number($0) }
      switch (ends.count, ends.first ?? nil, ends.last ?? nil) {
      case (1, let layer?, _): isListed[layer] = true
      case (2, let first?, let last?) where first <= last: for layer in first...last { isListed[layer] = true }
      default: return nil
      }
    }
    self.init(isListed.indices.filter { isListed[$0] })
  }

  /// At most 4 digits: no model has more layers, and a range must not exhaust memory.
  private static func number(_ text: Substring) -> Int? {
    guard (1...4).contains(text.utf8.count), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
    return Int(text)
  }

  /// The list as flags and provenance spell it, ranges where there are some: `0-3,7`.
  public var description: String {
    var runs: [ClosedRange<Int>] = []
    for layer in layers {
      if let run = runs.last, run.upperBound + 1 == layer {
        runs[runs.count - 1] = run.lowerBound...layer
      } else {
        runs.append(layer...layer)
      }
    }
    return runs.map { $0.count > 1 ? "\($0.lowerBound)-\($0.upperBound)" : "\($0.lowerBound)" }.joined(separator: ",")
  }

  public var defaultValueDescription: String { description }
}

/// Options that all filters share.
public struct MessageOptions: ParsableArguments {
  @Flag(name: [.long, .short], help: "No progress and no summary on standard error; errors still.")
  public var quiet = false

  public init() {}
}

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
