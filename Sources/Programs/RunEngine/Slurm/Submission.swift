/// What is sent to Slurm for a plan: jobs, whose elements do steps one after another.
public struct Submission: Equatable, Sendable {
  public struct Job: Equatable, Sendable {
    public var stage: Plan.Stage
    public var elements: [Element]
    public var wait = Wait.nothing

    /// Numbers of elements are those of shards.
    var isArray: Bool { stage == .activations || stage == .sums }
    /// Whether its programs compute with the model.
    var computes: Bool { isArray }
  }

  public struct Element: Equatable, Sendable {
    public var number: Int
    /// Names of steps, in an order in which they can be done.
    public var steps: [String]
  }

  /// What a job waits for; jobs by their place in the list.
  public enum Wait: Equatable, Sendable {
    case nothing
    case all([Int])
    /// Each element for the other job's element of its number.
    case sameElement(Int)
  }

  public private(set) var jobs: [Job] = []

  /// - Parameters:
  ///   - plan: its sums depend on one shard each.
  ///   - decisions: what is to be made of it.
  ///   - groups: parts that a shard's sums are cut into, each an element of another array; nil for as many as can be.
  public init(_ plan: Plan, _ decisions: [String: Decision], groups: Int? = nil) {
    let steps = Dictionary(plan.steps.map { ($0.name, $0) }) { $1 }
    let tokens = plan.steps(of: .tokens)
    let shards = Dictionary(tokens.enumerated().map { ($1.name, $0) }) { $1 }
    func inputs(_ step: Plan.Step) -> [Plan.Step] { step.after.compactMap { steps[$0] } }
    func shard(_ step: Plan.Step) -> Int { shards[step.name] ?? shard(inputs(step)[0]) }
    func isMissing(_ step: Plan.Step) -> Bool { decisions[step.name]?.isToBeMade ?? false }
    func element(_ number: Int, _ steps: [Plan.Step]) -> Element? {
      let names = steps.filter(isMissing).map(\.name)
      return names.isEmpty ? nil : Element(number: number, steps: names)
    }

    let tokensJob = add(.tokens, [element(0, tokens)])
    let activations = Dictionary(grouping: plan.steps(of: .activations), by: shard)
    let activationsJob = add(
      .activations, tokens.indices.map { element($0, activations[$0] ?? []) },
      after: tokensJob.map { .all([$0]) } ?? .nothing)

    let sums = Dictionary(grouping: plan.steps(of: .sums), by: shard)
    let most = sums.values.map(\.count).max() ?? 0
    let parts = sums.mapValues { Study.cut($0, into: groups ?? most) }
    var last: [Int] = []
    for group in 0..<min(groups ?? most, most) {
      let elements = tokens.indices.map { shard in
        let sums = parts[shard]?[group] ?? []
        return element(shard, sums.flatMap(inputs).filter { $0.stage == .gradients } + sums)
      }
      func waits(_ element: Element?) -> Bool {
        element?.steps.contains { inputs(steps[$0]!).contains { $0.stage == .activations && isMissing($0) } } ?? false
      }
      // Of shards whose activations are there, and of those that wait for theirs.
      last += [add(.sums, elements.filter { !waits($0) })].compactMap { $0 }
      last += [activationsJob.flatMap { add(.sums, elements.filter(waits), after: .sameElement($0)) }].compactMap { $0 }
    }
    _ = add(
      .results, [element(0, plan.steps(of: .results))], after: last.isEmpty ? .nothing : .all(last))
  }

  /// - Returns: the job's place; nil where there is nothing for it to do.
  private mutating func add(_ stage: Plan.Stage, _ elements: [Element?], after wait: Wait = .nothing) -> Int? {
    let elements = elements.compactMap { $0 }
    guard !elements.isEmpty else { return nil }
    jobs.append(Job(stage: stage, elements: elements, wait: wait))
    return jobs.count - 1
  }
}
