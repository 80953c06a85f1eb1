import Glibc
import SystemIO

/// Tells a waiting person how far the work is: one line that rewrites itself on a terminal, a line every ten seconds
/// elsewhere (every GRADIENT_FILTERS_PROGRESS seconds where that is set), and a summary at the end.
public final class Progress {
  private let unit: String
  private let total: Int?
  private let isQuiet: Bool
  private let isTerminal = isatty(STDERR_FILENO) == 1
  /// Seconds between two lines.
  private let interval: Double
  private let start = monotonicSeconds()
  private var lastShown: Double
  private var done = 0
  private var tokens = 0

  /// - Parameters:
  ///   - unit: what is counted, in the plural: "tokens".
  ///   - total: how many there will be, where that is known.
  public init(unit: String, total: Int? = nil, quiet: Bool) {
    self.unit = unit
    self.total = total
    isQuiet = quiet
    // A script that joins the progress of many programs into one display asks for it more often than a person would.
    let asked = getenv("GRADIENT_FILTERS_PROGRESS").flatMap { Double(String(cString: $0)) }
    interval = asked ?? (isTerminal ? 0.2 : 10)
    lastShown = start
  }

  /// - Parameter tokens: how many tokens these were, where tokens are what takes time.
  public func advance(_ count: Int, tokens: Int = 0) {
    done += count
    self.tokens += tokens
    let now = monotonicSeconds()
    guard !isQuiet, now - lastShown >= interval else { return }
    lastShown = now
    let line = "\(programName): \(line(at: now))"
    writeToStandardError(isTerminal ? "\r\u{1b}[K\(line)" : "\(line)\n")
  }

  /// The closing line: `act-grad: 64 samples, 7012 tokens in 80.2 s (87.4 tokens/s), …`.
  public func finish(_ details: String = "") {
    guard !isQuiet else { return }
    let seconds = monotonicSeconds() - start
    let counts = tokens > 0 ? "\(done) \(unit), \(tokens) tokens" : "\(done) \(unit)"
    let rate = tokens > 0 ? "\(rateText(tokens, seconds)) tokens/s" : "\(rateText(done, seconds))/s"
    let line = "\(programName): \(counts) in \(decimal(seconds, 1)) s (\(rate))\(details)\n"
    writeToStandardError(isTerminal ? "\r\u{1b}[K\(line)" : line)
  }

  private func line(at now: Double) -> String {
    let seconds = now - start
    var line = total.map { "\(done) of \($0) \(unit)" } ?? "\(done) \(unit)"
    line += tokens > 0 ? ", \(rateText(tokens, seconds)) tokens/s" : ", \(rateText(done, seconds))/s"
    if let total, done > 0 { line += ", \(decimal(Double(max(total - done, 0)) * seconds / Double(done), 0)) s left" }
    return line
  }

  private func rateText(_ count: Int, _ seconds: Double) -> String {
    let rate = Double(count) / max(seconds, 1e-9)
    return decimal(rate, rate < 10 ? 1 : 0)
  }
}

/// Seconds on a clock that never jumps.
public func monotonicSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
}
