/// What is known of a stream in the work folder.
public enum StreamState: Equatable, Sendable {
  /// It was recorded as complete and is what was recorded.
  case complete
  /// There is no record of it.
  case absent
  /// It was recorded, and is not what was recorded any more: why.
  case lost(String)
}

/// What becomes of a step.
public enum Decision: Equatable, Sendable {
  case isThere
  /// It is not there, and nothing that is to be made reads it.
  case isNotNeeded
  case make(String)

  public var isToBeMade: Bool { if case .make = self { true } else { false } }
}

extension Plan {
  /// Decides from the end: what is there needs none of what it was made of.
  ///
  /// - Parameters:
  ///   - states: by the steps' names; of results none, which every run makes anew.
  ///   - earlier: by label, the key with which the step was last made.
  /// - Returns: by name, and with the reasons.
  public func decisions(_ states: [String: StreamState], earlier: [String: Key]) -> [String: Decision] {
    var decisions: [String: Decision] = [:]
    var needed: Set<String> = []
    for step in steps.reversed() {
      let state = states[step.name] ?? .absent
      if step.stage != .results, state == .complete {
        decisions[step.name] = .isThere
      } else if step.stage != .results, !needed.contains(step.name) {
        decisions[step.name] = .isNotNeeded
      } else {
        needed.formUnion(step.after)
        decisions[step.name] = .make(step.reason(state, earlier[step.label]))
      }
    }
    return decisions
  }
}

extension Plan.Step {
  /// Why it is to be made.
  fileprivate func reason(_ state: StreamState, _ earlier: Key?) -> String {
    if stage == .results { return "every run leaves its own" }
    if case .lost(let why) = state { return why }
    guard let earlier, earlier != key else { return "there is no record that it was made" }
    return key.differences(from: earlier).joined(separator: "; ")
  }
}
