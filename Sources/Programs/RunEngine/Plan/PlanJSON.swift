import JSON
import SystemIO

extension Plan {
  /// The plan as a file has it, one step a line.
  public var json: String {
    "{\"format\": \"gradient-run-plan/1\", \"steps\": [\n\(steps.map(\.json).joined(separator: ",\n"))\n]}\n"
  }

  /// Reads what `json` gives.
  ///
  /// - Throws: `Failure` of kind malformed.
  public init(json bytes: [UInt8]) throws(Failure) {
    let document = try JSON(parsing: bytes)
    guard document["format"]?.text == "gradient-run-plan/1", let elements = document["steps"]?.elements else {
      throw Failure(.malformed, "expected a plan of gradient-run, found another file")
    }
    let steps = elements.compactMap { Step($0) }
    guard steps.count == elements.count else {
      throw Failure(.malformed, "step \(steps.count): expected stage, label, layers, key, pipes, after and weight")
    }
    self.init(steps)
  }
}

extension Plan.Step {
  fileprivate var json: String {
    let pipes = pipes.map { pipe in list(pipe.map { list(([$0.program] + $0.arguments).map(JSON.quote)) }) }
    let fields = [
      ("stage", JSON.quote(stage.rawValue)), ("label", JSON.quote(label)), ("layers", list(layers.map { "\($0)" })),
      ("key", JSON.quote(key.text)), ("pipes", list(pipes)), ("input", input.map(JSON.quote) ?? "null"),
      ("after", list(after.map(JSON.quote))), ("weight", "\(weight)"),
    ]
    return "  {\(fields.map { "\"\($0)\": \($1)" }.joined(separator: ", "))}"
  }

  fileprivate init?(_ json: JSON) {
    guard let stage = json["stage"]?.text.flatMap(Plan.Stage.init), let label = json["label"]?.text,
      let layers = json["layers"]?.elements, let key = json["key"]?.text, let pipes = json["pipes"]?.elements,
      let after = json["after"]?.elements, let weight = json["weight"]?.number
    else { return nil }
    self.init(
      stage, label: label, layers: layers.compactMap(\.int), key: Key(text: key),
      pipes: pipes.map { ($0.elements ?? []).compactMap { Command($0) } }, input: json["input"]?.text,
      after: after.compactMap(\.text), weight: weight)
  }
}

extension Command {
  fileprivate init?(_ json: JSON) {
    let words = (json.elements ?? []).compactMap(\.text)
    guard let program = words.first else { return nil }
    self.init(program, Array(words.dropFirst()))
  }
}

private func list(_ items: [String]) -> String { "[\(items.joined(separator: ", "))]" }
