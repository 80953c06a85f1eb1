import RunEngine
import Testing

/// What becomes of each step, by what is known of its stream.
struct DecisionTests {
  private let plan = Plan(fakeStudy(.feature, layers: [0, 1]), fakeFindings(), work: "work")

  /// The labels of the steps that are made where these are there.
  private func made(_ states: (Plan.Step) -> StreamState) -> [String] {
    let decisions = plan.decisions(Dictionary(plan.steps.map { ($0.name, states($0)) }) { $1 }, earlier: [:])
    return plan.steps.filter { decisions[$0.name]!.isToBeMade }.map(\.label)
  }

  @Test func everythingIsMadeOnce() {
    #expect(made { _ in .absent } == plan.steps.map(\.label))
    #expect(made { _ in .complete } == ["results"])
  }

  @Test func whatIsThereNeedsNoneOfWhatItWasMadeOf() {
    #expect(made { $0.stage == .sums ? .complete : .absent } == ["results"])
    #expect(
      made { [.sums, .gradients].contains($0.stage) && $0.layers == [0] ? .complete : .absent }
        == ["tokens", "activations-layer-1", "gradients-sae-grad-layer-1", "sums-sae-grad-layer-1", "results"])
    #expect(
      made { $0.stage == .gradients ? .complete : .absent }
        == ["sums-sae-grad-layer-0", "sums-sae-grad-layer-1", "results"])
  }

  @Test func reasonsAreGiven() throws {
    var other = fakeStudy(.feature, layers: [0, 1])
    other.featureFlags = ["--stride", "8"]
    let earlier = Dictionary(
      Plan(other, fakeFindings(), work: "w").steps.map { ($0.label, $0.key) }
    ) { $1 }
    let lost = plan.steps[0].name
    let decisions = plan.decisions([lost: .lost("its file is gone")], earlier: earlier)
    #expect(decisions[lost] == .make("its file is gone"))
    let gradients = plan.steps(of: .gradients)[0]
    #expect(decisions[gradients.name] == .make("--stride was 8, is 4"))
    guard case .make(let why) = decisions[plan.steps(of: .sums)[0].name] else { throw Unexpected() }
    #expect(why.hasPrefix("gradients was ") && !why.contains(";"), "\(why)")
    #expect(decisions[plan.steps[1].name] == .make("there is no record that it was made"))
    let there = plan.decisions([plan.steps(of: .sums)[0].name: .complete], earlier: [:])
    #expect(there[plan.steps(of: .sums)[0].name] == .isThere && there[gradients.name] == .isNotNeeded)
  }

  private struct Unexpected: Error {}
}
