import Glibc
import Synchronization
import SystemIO

/// Tells how far the work is: facts for a program that asked for them; else for a waiting person a line that rewrites
/// itself on a terminal, a line every ten seconds elsewhere; and a summary at the end.
///
/// Made before the output begins: of the programs of a pipe, the one that began last has the terminal's line.
public final class Progress: Sendable {
  private let unit: String
  private let isQuiet: Bool
  private let start = monotonicSeconds()
  private let counts: Mutex<Counts>

  private struct Counts {
    var done = 0
    var total: Int?
    var tokens = 0
    var lastShown: Double
  }

  /// - Parameters:
  ///   - unit: what is counted, in the plural: "tokens".
  ///   - total: how many there will be, where that is known.
  public init(unit: String, total: Int? = nil, _ messages: MessageOptions) {
    self.unit = unit
    isQuiet = messages.quiet
    counts = Mutex(Counts(total: total, lastShown: start))
  }

  /// Adds to what there will be; nil where it is not known how much.
  public func expect(_ count: Int?) {
    counts.withLock { counts in
      guard let known = counts.total, let count else { return counts.total = nil }
      let (sum, isTooLarge) = known.addingReportingOverflow(count)
      counts.total = isTooLarge ? nil : sum
    }
  }

  /// From whatever thread.
  ///
  /// - Parameter tokens: how many tokens these were, where tokens are what takes time.
  public func advance(_ count: Int, tokens: Int = 0) {
    let hasReader = FactWriter.isOpen
    counts.withLock { counts in
      if counts.done == 0, !hasReader, !isQuiet { TerminalLine.begin(at: start) }
      counts.done += count
      counts.tokens += tokens
      let now = monotonicSeconds()
      guard hasReader || !isQuiet,
        now - counts.lastShown >= (hasReader || TerminalLine.isTerminal ? 0.2 : 10)
      else { return }
      counts.lastShown = now
      if hasReader {
        FactWriter.write(fact(counts, at: now))
      } else if TerminalLine.isTerminal {
        TerminalLine.draw("\(programName): \(line(counts, at: now))")
      } else {
        complain(line(counts, at: now))
      }
    }
  }

  /// The closing line: `act-grad: 64 samples, 7012 tokens in 80.2 s (87.4 tokens/s), …`.
  public func finish(_ details: String = "") {
    let now = monotonicSeconds()
    let counts = counts.withLock { $0 }
    FactWriter.write(fact(counts, at: now))
    TerminalLine.end()
    let tokens = counts.tokens > 0 ? ", \(counted(counts.tokens, "token"))" : ""
    note(
      "\(counts.done) \(unit)\(tokens) in \(decimal(now - start, 1)) s (\(rate(counts, at: now)))\(details)",
      quiet: isQuiet)
  }

  private func fact(_ counts: Counts, at now: Double) -> Fact {
    .progress(done: counts.done, total: counts.total, unit: unit, tokens: counts.tokens, seconds: now - start)
  }

  private func line(_ counts: Counts, at now: Double) -> String {
    let (done, rate) = (counts.done, rate(counts, at: now))
    guard let total = counts.total, done > 0 else { return "\(done) \(unit), \(rate)" }
    let secondsLeft = Double(max(total - done, 0)) * (now - start) / Double(done)
    return "\(done) of \(total) \(unit), \(rate), \(decimal(secondsLeft, 0)) s left"
  }

  /// "87 tokens/s", or of what is counted "3.2/s".
  private func rate(_ counts: Counts, at now: Double) -> String {
    let rate = Double(counts.tokens > 0 ? counts.tokens : counts.done) / max(now - start, 1e-9)
    return "\(decimal(rate, rate < 10 ? 1 : 0))\(counts.tokens > 0 ? " tokens" : "")/s"
  }
}

/// Seconds on a clock that never jumps.
public func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
