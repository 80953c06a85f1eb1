import FilterSupport
import SystemIO

/// How far a stage of a run is, and the words for it.
package struct StageProgress {
  private struct Running {
    let task: String
    let weight: Double
    var done = 0
    var total: Int?
    var unit = ""
    var tokensPerSecond = 0.0

    /// Of the task, from 0 to 1.
    var fraction: Double { total.map { min(Double(done) / Double(max($0, 1)), 1) } ?? 0 }

    /// "layer 3: 12 of 500 samples"
    var words: String {
      let count = unit.isEmpty ? "" : total.map { "\(done) of \($0) \(unit)" } ?? "\(done) \(unit)"
      return [task, count].filter { !$0.isEmpty }.joined(separator: ": ")
    }
  }

  private let title: String
  private let tasks: Int
  private let weight: Double
  private let begun: Double
  private var finished = 0
  private var finishedWeight = 0.0
  private var running: [Running] = []

  /// - Parameters:
  ///   - weight: the sum of the tasks' weights.
  ///   - now: seconds, of a clock that `text` goes by as well.
  package init(stage: String, number: Int, of count: Int, tasks: Int, weight: Double, now: Double) {
    title = count > 1 ? "[\(number)/\(count)] \(stage)" : stage
    (self.tasks, self.weight, begun) = (tasks, weight, now)
  }

  package mutating func start(task: String, weight: Double) {
    running.append(Running(task: task, weight: weight))
  }

  package mutating func progress(task: String, done: Int, total: Int?, unit: String, tokens: Int, seconds: Double) {
    guard let index = running.firstIndex(where: { $0.task == task }) else { return }
    (running[index].done, running[index].total, running[index].unit) = (done, total, unit)
    running[index].tokensPerSecond = seconds > 0 ? Double(tokens) / seconds : 0
  }

  package mutating func finish(task: String) {
    guard let index = running.firstIndex(where: { $0.task == task }) else { return }
    finished += 1
    finishedWeight += running.remove(at: index).weight
  }

  /// The line, shorter than `columns`: "[2/4] gradients: 3 of 24 done, 5 min left, 870 tokens/s; layer 3: 12 of 500
  /// samples; layer 4: …". What matters most comes first; what has no room is left out as a whole.
  package func text(columns: Int, now: Double) -> String {
    var text = String(title.prefix(max(columns - 1, 0)))
    /// - Returns: whether there was room for one of them, the first of which was added.
    @discardableResult func add(_ choices: String...) -> Bool {
      guard let words = choices.first(where: { text.count + $0.count < columns }) else { return false }
      text += words
      return true
    }
    let left = secondsLeft(now).map { ", \(duration($0)) left" } ?? ""
    let counted = ": \(finished) of \(tasks)"
    if tasks > 1 { add("\(counted) done\(left)", "\(counted)\(left)", "\(counted) done", left) } else { add(left) }
    let rate = running.reduce(0) { $0 + $1.tokensPerSecond }
    if rate > 0 { add(", \(decimal(rate, rate < 10 ? 1 : 0)) tokens/s") }
    for task in running where !task.words.isEmpty {
      guard add("; \(task.words)") else { break }
    }
    return text
  }

  /// Nil as long as nothing is known.
  private func secondsLeft(_ now: Double) -> Double? {
    let done = running.reduce(finishedWeight) { $0 + $1.weight * $1.fraction }
    guard done > 0, done < weight, now - begun > 1 else { return nil }
    return (now - begun) * (weight - done) / done
  }

  /// As people say it.
  private func duration(_ seconds: Double) -> String {
    let seconds = Int(min(seconds.rounded(.up), 1e9))
    if seconds >= 3600 { return "\(seconds / 3600) h \(seconds % 3600 / 60) min" }
    return seconds >= 120 ? "\(seconds / 60) min" : "\(seconds) s"
  }
}
