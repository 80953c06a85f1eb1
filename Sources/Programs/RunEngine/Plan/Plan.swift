import FilterSupport
import SystemIO

/// Everything that is to be done, in an order in which it can be done.
public struct Plan: Equatable, Sendable {
  public enum Stage: String, CaseIterable, Sendable {
    case tokens, activations, gradients, sums
    /// The averages of all sums with their arrays, and the pictures of them.
    case results
  }

  /// What one process or a pipe of them makes: a stream in the work folder, or all that is to be left in the end.
  public struct Step: Equatable, Sendable {
    public var stage: Stage
    /// What it is of: "layer-3"; the same step of another run has the same label.
    public var label: String
    public var layers: [Int]
    public var key: Key
    /// Commands that pipes join. Results take two of these: averages, then pictures of the stream that they wrote.
    public var pipes: [[Command]]
    /// The stream that the first command reads.
    public var input: String?
    /// Those steps' streams that must be there, by name.
    public var after: [String]
    /// Its share of the stage's work.
    public var weight: Double

    public init(
      _ stage: Stage, label: String, layers: [Int], key: Key, pipes: [[Command]], input: String? = nil,
      after: [String] = [], weight: Double = 1
    ) {
      (self.stage, self.label, self.layers, self.key, self.pipes) = (stage, label, layers, key, pipes)
      (self.input, self.after, self.weight) = (input, after, weight)
    }

    /// The name of what it makes in the work folder.
    public var name: String { "\(label)-\(key.hash)\(stage == .results ? "" : ".ts")" }
  }

  public var steps: [Step] = []

  public init(_ steps: [Step] = []) { self.steps = steps }

  public func steps(of stage: Stage) -> [Step] { steps.filter { $0.stage == stage } }

  /// The steps of a stage, those together that one pass makes: it captures all layers at once.
  func passes(of stage: Stage) -> [[Step]] { Self.passes(steps(of: stage)) }

  /// - Parameter steps: of one stage.
  static func passes(_ steps: [Step]) -> [[Step]] {
    steps.reduce(into: []) { passes, step in
      if step.stage == .activations, let last = passes.last, last[0].input == step.input {
        passes[passes.count - 1].append(step)
      } else {
        passes.append([step])
      }
    }
  }

  /// One pass for several steps of one stage that read the same stream, which differ in their layer alone.
  ///
  /// - Returns: the command, which writes their streams itself into the folder `work`; nil where there is a single
  ///   step, whose stream is on standard output.
  static func joined(_ steps: [Step], work: String) -> Command? {
    guard let first = steps.first, steps.count > 1, var command = first.pipes.first?.first,
      let place = command.arguments.firstIndex(of: "--layers")
    else { return nil }
    command.arguments[place + 1] = "\(LayerList(steps.flatMap(\.layers)))"
    let pattern = first.name.replacing("-layer-\(first.layers[0])-", with: "-layer-{layer}-")
    command.arguments += option("--split", "\(work)/\(pattern)")
    return command
  }
}

extension Plan.Step {
  /// Averages for their statistics alone: nothing is left, and nothing drawn.
  var withoutFiles: Plan.Step {
    var step = self
    step.pipes = [
      pipes[0].map { command in
        var command = command
        if let place = command.arguments.firstIndex(of: resultsFolder) {
          command.arguments.removeSubrange(place - 1...place)
        }
        return command
      }
    ]
    return step
  }
}

extension Plan {
  /// The command lines, for a record.
  ///
  /// - Parameter work: a folder that is left out of them.
  func text(work: String?, threads: Int?) -> [String] {
    var lines: [String] = []
    for steps in Stage.allCases.flatMap(passes) {
      let step = steps[0]
      let joined = Self.joined(steps, work: ".").map { [[$0]] }
      for (number, pipe) in (joined ?? step.pipes).enumerated() {
        let input = number == 0 ? step.input : aggregatesName
        let output = step.stage != .results ? step.name : number == 0 ? aggregatesName : nil
        let line =
          pipe.map { $0.with(threads: threads).text.replacing(shellQuoted(resultsFolder), with: ".") }.joined(
            separator: " | ")
          + (input.map { " < \(shellQuoted($0))" } ?? "")
          + (joined == nil ? output.map { " > \(shellQuoted($0))" } ?? "" : "")
        lines.append(work.map { line.replacing("\($0)/", with: "") } ?? line)
      }
    }
    return lines
  }
}

/// The folder of results while they are made: what commands of a plan name in its place.
public let resultsFolder = "{results}"
/// The stream of averages among the results, from which arrays and pictures can be made again.
public let aggregatesName = "aggregates.ts"

// MARK: - Making a plan

extension Plan {
  /// The plan of a run that keeps its streams in the folder `work`.
  public init(_ study: Study, _ findings: Findings, work: String) {
    var maker = PlanMaker(study: study, findings: findings, work: work)
    maker.makeSteps()
    self.init(maker.steps)
  }

  /// The plan of a run that keeps nothing: one pipe, from the text to the averages.
  ///
  /// - Parameter saves: whether there are results to be left, with pictures.
  public init(direct study: Study, saves: Bool) {
    let captured = study.unit == .activation ? [study.layers[0]] : study.layers
    let pipe = [
      study.tokenize(study.sampleShards[0]), study.capture(captured, computesLoss: false),
      study.gradients(study.layers), study.averages(saves ? ["--save", resultsFolder] : []),
    ]
    let pictures = saves ? [[study.pictures(in: resultsFolder)]] : []
    steps = [Step(.results, label: "results", layers: study.layers, key: Key(), pipes: [pipe] + pictures)]
  }
}
