import RunEngine
import Testing

/// What is made, in which order, by which commands; nothing runs.
struct PlanTests {
  private func plan(_ study: Study) -> Plan { Plan(study, fakeFindings(), work: "work") }

  private func labels(_ plan: Plan, _ stage: Plan.Stage) -> [String] { plan.steps(of: stage).map(\.label) }

  private func arguments(_ step: Plan.Step, pipe: Int = 0, _ position: Int = 0) -> String {
    step.pipes[pipe][position].arguments.joined(separator: " ")
  }

  @Test func layersOfFeaturesAreMadeApart() throws {
    let plan = plan(fakeStudy(.feature, layers: [0, 2]))
    #expect(
      plan.steps.map(\.label) == [
        "tokens", "activations-layer-0", "activations-layer-2", "gradients-sae-grad-layer-0",
        "gradients-sae-grad-layer-2", "sums-sae-grad-layer-0", "sums-sae-grad-layer-2", "results",
      ])
    let (tokens, gradients) = (plan.steps[0], plan.steps[4])
    #expect(tokens.name == "tokens-\(tokens.key.hash).ts" && tokens.input == nil && tokens.after.isEmpty)
    #expect(arguments(tokens) == "--tokenizer M --num-samples 500 --batch-size 4 --max-length 32 text.raw")
    #expect(gradients.input == "work/\(plan.steps[2].name)" && gradients.after == [plan.steps[2].name])
    #expect(arguments(gradients) == "--model M --layers 2 --device cpu --sae saes/{layer} --stride 4")
    // The unmodified model's loss is found once, not in every layer.
    #expect(arguments(plan.steps[1]) == "--model M --layers 0 --device cpu --loss")
    // A lower layer has more of the model above it: 4 layers and a head of 2.
    #expect(gradients.weight == 4 && plan.steps[3].weight == 6)
  }

  @Test func onePassServesAllLayers() {
    var errorTerm = fakeStudy(.feature, layers: [0, 2])
    errorTerm.usesErrorTerm = true
    for (study, captured) in [(errorTerm, "0,2"), (fakeStudy(.activation, layers: [1, 3]), "1")] {
      let plan = plan(study)
      for stage in Plan.Stage.allCases { #expect(plan.steps(of: stage).count == 1) }
      #expect(arguments(plan.steps(of: .activations)[0]).hasPrefix("--model M --layers \(captured) "))
      #expect(!arguments(plan.steps(of: .activations)[0]).contains("--loss"))
    }
    #expect(labels(plan(errorTerm), .gradients) == ["gradients-sae-grad-layers-0,2"])
  }

  @Test func resultsAreMadeOfAllSums() {
    let plan = plan(fakeStudy(.feature, layers: [0, 1]))
    let results = plan.steps.last!
    let sums = plan.steps(of: .sums).map(\.name)
    #expect(results.after == sums && results.pipes.count == 2)
    #expect(
      arguments(results)
        == "--mode mean --device cpu --sae saes/{layer} --save {results} work/\(sums[0]) work/\(sums[1])")
    #expect(arguments(results, pipe: 1) == "--output {results}")
  }

  @Test func withoutStreamsThereIsOnePipe() {
    let plan = Plan(direct: fakeStudy(.feature), saves: true)
    #expect(plan.steps.count == 1)
    #expect(
      plan.steps[0].pipes.map { $0.map(\.program) } == [
        ["wt-tokenize", "qwen-capture", "sae-grad", "grad-aggregate"], ["grad-plot"],
      ])
    let unsaved = Plan(direct: fakeStudy(.feature), saves: false).steps[0]
    #expect(unsaved.pipes.count == 1 && !unsaved.pipes[0][3].arguments.contains("--save"))
  }

  @Test(arguments: [
    (14, 4, 3, [(0, 8), (8, 6)]), (14, 4, 1, [(0, 14)]), (3, 4, 8, [(0, 3)]), (24, 4, 3, [(0, 8), (8, 8), (16, 8)]),
  ])
  func shardsAreWholeBatches(samples: Int, batch: Int, shards: Int, expected: [(Int, Int)]) {
    var study = fakeStudy(.activation)
    (study.samples, study.batchSize, study.shards, study.skip) = (samples, batch, shards, 100)
    #expect(study.sampleShards.map { [$0.skip, $0.count] } == expected.map { [$0.0 + 100, $0.1] })
  }

  @Test func shardsAndGroupsOfLayersMultiply() {
    var study = fakeStudy(.activation, layers: [0, 1, 2, 3, 5])
    (study.samples, study.shards, study.groups, study.keepsGradients) = (16, 2, 2, false)
    let plan = plan(study)
    #expect(labels(plan, .tokens) == ["tokens-shard-0", "tokens-shard-1"])
    // Of each group the lowest layer is captured.
    #expect(
      labels(plan, .activations) == [
        "activations-shard-0-layer-0", "activations-shard-0-layer-2", "activations-shard-1-layer-0",
        "activations-shard-1-layer-2",
      ])
    #expect(labels(plan, .gradients).isEmpty)
    #expect(labels(plan, .sums).count == 4 && labels(plan, .sums)[1] == "sums-act-grad-shard-0-layers-2-3,5")
    #expect(plan.steps(of: .sums)[0].pipes[0].map(\.program) == ["act-grad", "grad-aggregate"])
    #expect(Set(plan.steps.map(\.name)).count == plan.steps.count)
    #expect(arguments(plan.steps(of: .tokens)[1]).contains("--num-samples 8 --batch-size 4 --max-length 32 --skip 8"))
  }

  /// --allow-nonfinite is for all that compute.
  @Test func waiversReachEveryProgram() {
    var study = fakeStudy(.feature)
    study.allowsNonfinite = true
    let commands = plan(study).steps.flatMap(\.pipes).flatMap { $0 }
    for command in commands where !["wt-tokenize", "grad-plot"].contains(command.program) {
      #expect(command.arguments.contains("--allow-nonfinite"), "\(command.program)")
    }
  }

  /// A value is never a flag of a program.
  @Test func valuesThatLookLikeFlagsStayValues() {
    var study = fakeStudy(.feature)
    (study.model, study.tokenizer, study.texts, study.autoencoders) = ("--loss", "-q", ["--quiet"], "--dense{layer}")
    let commands = Plan(study, fakeFindings(), work: "-w").steps.flatMap(\.pipes).flatMap { $0 }
    let flags = Set(commands.flatMap(\.arguments).filter { $0.hasPrefix("-") })
    let own = [
      "--tokenizer=-q", "--num-samples", "--batch-size", "--max-length", "--model=--loss", "--layers", "--device",
      "--loss", "--sae=--dense{layer}", "--stride", "--mode", "--partial", "--save", "--output",
    ]
    #expect(flags == Set(own))
    #expect(commands[0].arguments.last == "./--quiet")
  }

  @Test func aPlanIsWhatItsFileSays() throws {
    var study = fakeStudy(.feature)
    study.texts = ["a\nb \"c\""]
    let plan = plan(study)
    #expect(try Plan(json: Array(plan.json.utf8)) == plan)
    #expect(throws: (any Error).self) { try Plan(json: Array("{}".utf8)) }
    #expect(throws: (any Error).self) { try Plan(json: Array(plan.json.replacing("\"weight\"", with: "\"w\"").utf8)) }
  }
}
