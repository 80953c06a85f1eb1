import FilterSupport

/// What one process, or a pipe of them, is started for: a step, or several that one pass makes.
struct RunTask {
  var steps: [Plan.Step]
  /// What tells it from those beside it, for people; empty where it is alone.
  var name: String
  /// The program whose progress is the task's.
  var main: String

  var isResults: Bool { steps[0].stage == .results }
  var weight: Double { steps.map(\.weight).reduce(0, +) }

  /// The tasks that make the steps, which are of one stage.
  static func tasks(for steps: [Plan.Step]) -> [RunTask] {
    let passes = Plan.passes(steps)
    return passes.map { steps in
      let pipe = steps[0].pipes[0]
      let main = pipe.first { ["act-grad", "sae-grad"].contains($0.program) } ?? pipe[pipe.count - 1]
      return RunTask(steps: steps, name: passes.count > 1 ? steps[0].title : "", main: main.program)
    }
  }
}

extension Plan.Step {
  /// "layer 3", "shard 2, layers 0-3"
  fileprivate var title: String {
    let shard = label.firstRange(of: "-shard-").map { "shard \(label[$0.upperBound...].prefix { $0 != "-" })" }
    let layers = layers.isEmpty ? nil : "layer\(layers.count == 1 ? "" : "s") \(LayerList(layers))"
    return [shard, layers].compactMap { $0 }.joined(separator: ", ")
  }
}

/// What a stage did, for people: "layers 1,3 there, layers 2 made".
func stageReport(_ steps: [Plan.Step], _ decisions: [String: Decision], isByLayer: Bool) -> String {
  let made = steps.filter { decisions[$0.name]?.isToBeMade == true }
  let kept = steps.filter { decisions[$0.name] == .isThere }
  guard isByLayer, steps[0].stage != .tokens else {
    return made.isEmpty ? kept.isEmpty ? "not needed" : "there" : "made"
  }
  func layers(_ steps: [Plan.Step]) -> String { "layers \(LayerList(steps.flatMap(\.layers)))" }
  var parts: [String] = []
  if !kept.isEmpty { parts.append("\(layers(kept)) there") }
  if !made.isEmpty {
    parts.append("\(layers(made)) made")
  } else if kept.count < steps.count {
    parts.append(kept.isEmpty ? "not needed" : "the others not needed")
  }
  return parts.joined(separator: ", ")
}
