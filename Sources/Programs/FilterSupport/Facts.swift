import Aggregation
import JSON
import SystemIO
import TensorStream

/// What a program tells other programs of its work, as a line of JSON: docs/facts.md lists the lines.
public enum Fact: Equatable, Sendable {
  /// Where it computes, in words.
  case device(String)
  /// - total: how many there will be, where that is known.
  /// - tokens: how many tokens these were, 0 where tokens are not what takes time.
  case progress(done: Int, total: Int?, unit: String, tokens: Int, seconds: Double)
  case loss(natsPerToken: Double, predictions: Int)
  /// How well an autoencoder rebuilds what is at a place, and the loss without it and with it in nats per prediction.
  case reconstruction(
    Place, meanL0: Double, varianceExplained: Double, loss: Double?, replacedLoss: Double?, predictions: Int)
  /// Of averages; how sure they are where that is known.
  case statistics(Place, Measure, Statistics, Certainty?)
  case warning(String)
  case note(String)
  /// The path of a file that is complete.
  case file(String)
  /// What ends the program, and its exit code.
  case error(String, exit: Int32)
  /// The program has succeeded.
  case end
}

extension Fact {
  /// Bytes of words, such as a warning's, that a line holds: with them it stays below PIPE_BUF, so that lines of
  /// programs which share a pipe do not mix.
  static let wordsLimit = 1800

  /// The line, its line feed included.
  ///
  /// - Parameter program: the name of the program whose fact it is.
  public func line(program: String) -> String {
    let fields = [("event", JSON.quote(event)), ("program", JSON.quote(program))] + members
    return "{\(fields.map { "\"\($0)\":\($1)" }.joined(separator: ","))}\n"
  }

  private var event: String {
    switch self {
    case .device: "device"
    case .progress: "progress"
    case .loss: "loss"
    case .reconstruction: "reconstruction"
    case .statistics: "statistics"
    case .warning: "warning"
    case .note: "note"
    case .file: "file"
    case .error: "error"
    case .end: "end"
    }
  }

  private var members: [(String, String)] {
    switch self {
    case .device(let words): [("device", quoted(words))]
    case .progress(let done, let total, let unit, let tokens, let seconds):
      [("done", "\(done)")] + (total.map { [("total", "\($0)")] } ?? [])
        + [("unit", JSON.quote(unit)), ("tokens", "\(tokens)"), ("seconds", JSON.number(seconds))]
    case .loss(let nats, let predictions): [("nats_per_token", JSON.number(nats)), ("predictions", "\(predictions)")]
    case .reconstruction(let place, let meanL0, let varianceExplained, let loss, let replacedLoss, let predictions):
      [
        ("place", JSON.quote("\(place)")), ("l0", JSON.number(meanL0)),
        ("variance_explained", JSON.number(varianceExplained)),
        ("nats_per_token", JSON.number(loss ?? .nan)), ("replaced_nats_per_token", JSON.number(replacedLoss ?? .nan)),
        ("predictions", "\(predictions)"),
      ]
    case .statistics(let place, let measure, let statistics, let certainty):
      [
        ("place", JSON.quote("\(place)")), ("quantity", JSON.quote(measure.quantity?.rawValue ?? measure.name)),
        ("mode", JSON.quote(measure.mode.names.flag)),
      ] + statistics.members + (certainty?.members ?? [])
    case .warning(let words), .note(let words): [("message", quoted(words))]
    case .file(let path): [("path", JSON.quote(path))]
    case .error(let words, let exit): [("message", quoted(words)), ("exit", "\(exit)")]
    case .end: []
    }
  }

  private func quoted(_ words: String) -> String {
    guard words.utf8.count > Self.wordsLimit else { return JSON.quote(words) }
    var end = words.utf8.index(words.startIndex, offsetBy: Self.wordsLimit)
    while end.samePosition(in: words.unicodeScalars) == nil { end = words.utf8.index(before: end) }
    return JSON.quote("\(words[..<end])…")
  }
}

extension Fact {
  /// Reads what `line(program:)` writes, without or with the line feed.
  ///
  /// - Returns: nil for everything else, such as an event that a later version may have.
  public static func read(_ line: some Sequence<UInt8>) -> (program: String, fact: Fact)? {
    guard let line = try? JSON(parsing: Array(line)), let program = line["program"]?.text,
      let event = line["event"]?.text, let fact = Fact(event, line)
    else { return nil }
    return (program, fact)
  }

  private init?(_ event: String, _ line: JSON) {
    switch event {
    case "device":
      guard let words = line["device"]?.text else { return nil }
      self = .device(words)
    case "progress":
      let total = line["total"]
      guard let done = line.count("done"), let unit = line["unit"]?.text, let tokens = line.count("tokens"),
        let seconds = line.double("seconds"), total == nil || line.count("total") != nil
      else { return nil }
      self = .progress(done: done, total: line.count("total"), unit: unit, tokens: tokens, seconds: seconds)
    case "loss":
      guard let nats = line.double("nats_per_token"), let predictions = line.count("predictions") else { return nil }
      self = .loss(natsPerToken: nats, predictions: predictions)
    case "reconstruction":
      guard let place = line.place, let meanL0 = line.double("l0"), let explained = line.double("variance_explained"),
        let loss = line.double("nats_per_token"), let replaced = line.double("replaced_nats_per_token"),
        let predictions = line.count("predictions")
      else { return nil }
      self = .reconstruction(
        place, meanL0: meanL0, varianceExplained: explained, loss: loss.isNaN ? nil : loss,
        replacedLoss: replaced.isNaN ? nil : replaced, predictions: predictions)
    case "statistics":
      guard let place = line.place, let measure = line.measure, let statistics = Statistics(members: line) else {
        return nil
      }
      self = .statistics(place, measure, statistics, Certainty(members: line))
    case "warning", "note":
      guard let words = line["message"]?.text else { return nil }
      self = event == "note" ? .note(words) : .warning(words)
    case "file":
      guard let path = line["path"]?.text else { return nil }
      self = .file(path)
    case "error":
      guard let words = line["message"]?.text, let exit = line.count("exit").flatMap(Int32.init(exactly:)) else {
        return nil
      }
      self = .error(words, exit: exit)
    case "end": self = .end
    default: return nil
    }
  }
}

extension Statistics {
  fileprivate var members: [(String, String)] {
    [
      ("count", "\(count)"), ("mean", JSON.number(mean)), ("std", JSON.number(standardDeviation)),
      ("min", JSON.number(minimum)),
      ("max", JSON.number(maximum)), ("max_abs", JSON.number(maximumMagnitude)), ("nan", "\(notANumber.count)"),
      ("nan_at", "\(notANumber.firstIndices)"), ("infinite", "\(infinite.count)"),
      ("infinite_at", "\(infinite.firstIndices)"),
    ]
  }

  fileprivate init?(members line: JSON) {
    guard let count = line.count("count"), let mean = line.double("mean"), let deviation = line.double("std"),
      let minimum = line.double("min"), let maximum = line.double("max"), let notANumber = line.excluded("nan"),
      let infinite = line.excluded("infinite")
    else { return nil }
    self.init(
      count: count, notANumber: notANumber, infinite: infinite, minimum: minimum, maximum: maximum, mean: mean,
      standardDeviation: deviation)
  }
}

extension Certainty {
  fileprivate var members: [(String, String)] {
    [
      ("units", "\(units)"), ("max_abs_at", largestIndex.map { "\($0)" } ?? "null"),
      ("max_abs_value", JSON.number(largest)), ("max_abs_se", JSON.number(standardError)),
      ("halves_correlation", JSON.number(reliability?.correlation)),
      ("reliability", JSON.number(reliability?.ofAll)),
      ("top_\(Reliability.overlapOf)_same", reliability.map { "\($0.overlap)" } ?? "null"),
      ("units_for_reliability_0.9", JSON.number(reliability?.unitsForNineTenths)),
    ]
  }

  fileprivate init?(members line: JSON) {
    guard let units = line.count("units") else { return nil }
    func known(_ key: String) -> Double? { line[key]?.number }
    let reliability = known("halves_correlation").flatMap { correlation in
      line.count("top_\(Reliability.overlapOf)_same").map {
        Reliability(correlation: correlation, overlap: $0, units: units)
      }
    }
    self.init(
      units: units, largestIndex: line.count("max_abs_at"), largest: known("max_abs_value"),
      standardError: known("max_abs_se"), reliability: reliability)
  }
}

extension JSON {
  /// A whole number of at least 0.
  fileprivate func count(_ key: String) -> Int? { self[key]?.int.flatMap { $0 >= 0 ? $0 : nil } }

  /// NaN where it is null.
  func double(_ key: String) -> Double? { self[key]?.isNull == true ? .nan : self[key]?.number }

  fileprivate var place: Place? { self["place"]?.text.flatMap { Place($0) } }

  /// Of lines that earlier programs wrote, gradients.
  fileprivate var measure: Measure? {
    guard let mode = self["mode"]?.text.flatMap({ AveragingMode(\.flag, $0) }) else { return nil }
    let name = self["quantity"]?.text ?? Quantity.gradient.rawValue
    return name == Measure.firing.name ? .firing : Quantity(rawValue: name).map { .average($0, mode) }
  }

  fileprivate func excluded(_ key: String) -> Statistics.Excluded? {
    guard let count = count(key), let elements = self["\(key)_at"]?.elements else { return nil }
    let indices = elements.compactMap(\.int).filter { $0 >= 0 }
    guard indices.count == elements.count, indices.count <= min(count, Statistics.Excluded.indicesKept) else {
      return nil
    }
    return Statistics.Excluded(count: count, firstIndices: indices)
  }
}
