import FilterSupport
import Glibc
import JSON
import SystemIO
import TensorStream

/// What run.json says: what it takes to run this again, and to know whether it was the same.
struct RunRecord {
  var command = ""
  var started = 0
  /// Nil where nobody has measured it all.
  var seconds: Double?
  var stages: [(name: String, seconds: Double, isKept: Bool)] = []
  /// Nil where all that needs one was there already.
  var device: String?
  var pipeline: [String] = []

  func json(_ survey: Survey, _ findings: Findings) -> String {
    let stages = stages.map {
      "{\"stage\": \(JSON.quote($0.name)), \"seconds\": \(decimal($0.seconds, 3)), \"kept\": \($0.isKept)}"
    }
    let programs = ["wt-tokenize", "qwen-capture", survey.study.unit.program, "grad-aggregate", "grad-plot"].map {
      name in
      "\(JSON.quote(name)): {\"version\": \(JSON.quote(packageVersion)), "
        + "\"sha256\": \(JSON.quote(findings.programs[name]?.hash ?? ""))}"
    }
    let files =
      findings.texts + findings.tokenizer + findings.model
      + findings.autoencoders.sorted { $0.key < $1.key }.flatMap(\.value)
    let inputs = files.enumerated().filter { number, file in files[..<number].allSatisfy { $0.path != file.path } }
      .map { "{\"path\": \(JSON.quote($1.path)), \"bytes\": \($1.bytes), \"sha256\": \(JSON.quote($1.hash))}" }
    let members = [
      ("format", JSON.quote("gradient-filters-run/1")), ("command", JSON.quote(command)),
      ("directory", JSON.quote(absolutePath("."))),
      ("started", JSON.quote(timeText(started, "%Y-%m-%dT%H:%M:%SZ", isLocal: false))),
      ("seconds", seconds.map { decimal($0, 3) } ?? "null"), ("stages", list(stages)),
      ("device", device.map(JSON.quote) ?? "null"),
      ("programs", "{\n    \(programs.joined(separator: ",\n    "))\n  }"),
      ("pipeline", list(pipeline.map(JSON.quote))), ("model", JSON.quote(survey.study.model)),
      ("layers", JSON.quote("\(LayerList(survey.study.layers))")),
      ("layers_without_autoencoder", JSON.quote("\(LayerList(survey.missing.map(\.layer)))")), ("inputs", list(inputs)),
    ]
    return "{\n\(members.map { "  \"\($0)\": \($1)" }.joined(separator: ",\n"))\n}\n"
  }

  private func list(_ items: [String]) -> String {
    "[\(items.map { "\n    \($0)" }.joined(separator: ","))\n  ]"
  }
}

/// A time in seconds since 1970, as strftime writes it.
func timeText(_ seconds: Int, _ format: String, isLocal: Bool) -> String {
  var (time, parts) = (time_t(seconds), tm())
  _ = isLocal ? localtime_r(&time, &parts) : gmtime_r(&time, &parts)
  return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 64) { buffer in
    let count = strftime(buffer.baseAddress!, buffer.count, format, &parts)
    return String(decoding: buffer[..<count].map { UInt8(bitPattern: $0) }, as: UTF8.self)
  }
}
