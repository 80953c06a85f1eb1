import FilterSupport

/// Makes the steps of a plan whose streams are kept.
struct PlanMaker {
  let study: Study
  let findings: Findings
  let work: String
  var steps: [Plan.Step] = []

  mutating func makeSteps() {
    let shards = study.sampleShards
    var sums: [Plan.Step] = []
    for (number, shard) in shards.enumerated() {
      let suffix = shards.count > 1 ? "-shard-\(number)" : ""
      let tokens = add(.tokens, suffix, [], tokensKey(shard), [study.tokenize(shard)])
      var captured: [[Int]: Plan.Step] = [:]
      for group in study.layerGroups {
        let layers = study.unit == .activation ? [group[0]] : study.isByLayer ? group : study.layers
        if captured[layers] == nil {
          let command = study.capture(layers, computesLoss: study.isByLayer)
          captured[layers] = add(
            .activations, suffix, layers, activationsKey(after: tokens, layers), [command], reading: tokens)
        }
        sums.append(addSums(of: group, suffix, after: captured[layers]!))
      }
    }
    // Streams of one stage side by side, whatever shard they are of.
    steps = Plan.Stage.allCases.flatMap { stage in steps.filter { $0.stage == stage } }
    addResults(sums)
  }

  private mutating func addSums(of group: [Int], _ suffix: String, after activations: Plan.Step) -> Plan.Step {
    let gradients = study.gradients(group)
    var key = gradientsKey(after: activations, group)
    let weight = study.isByLayer ? Double(findings.layerCount - group[0]) + findings.headWeight : 1
    let sums = study.averages(["--partial"])
    guard study.keepsGradients else {
      addAverages(to: &key)
      return add(.sums, suffix, group, key, [gradients, sums], reading: activations, weight: weight)
    }
    let step = add(.gradients, suffix, group, key, [gradients], reading: activations, weight: weight)
    var sumsKey = newKey("sums", "grad-aggregate")
    sumsKey.add("gradients", step.key.hash)
    addAverages(to: &sumsKey)
    return add(.sums, suffix, group, sumsKey, [sums], reading: step)
  }

  private mutating func addResults(_ sums: [Plan.Step]) {
    var key = newKey("results", "grad-aggregate", "grad-plot")
    for step in sums { key.add("sums", step.key.hash) }
    key.add(flags: study.pictureFlags)
    let files = sums.map { "\(work)/\($0.name)" }
    steps.append(
      Plan.Step(
        .results, label: "results", layers: study.layers, key: key,
        pipes: [[study.averages(["--save", resultsFolder], files: files)], [study.pictures(in: resultsFolder)]],
        after: sums.map(\.name)))
  }

  private mutating func add(
    _ stage: Plan.Stage, _ suffix: String, _ layers: [Int], _ key: Key, _ commands: [Command],
    reading input: Plan.Step? = nil, weight: Double = 1
  ) -> Plan.Step {
    let of = layers.isEmpty ? "" : layers.count == 1 ? "-layer-\(layers[0])" : "-layers-\(LayerList(layers))"
    let step = Plan.Step(
      stage, label: "\(stage.rawValue)\(stageDetail(stage))\(suffix)\(of)", layers: layers, key: key,
      pipes: [commands], input: input.map { "\(work)/\($0.name)" }, after: input.map { [$0.name] } ?? [],
      weight: weight)
    steps.append(step)
    return step
  }

  /// Steps of runs that differ in this are different steps, of which one may be there beside the other.
  private func stageDetail(_ stage: Plan.Stage) -> String {
    switch stage {
    case .tokens, .activations, .results: ""
    case .gradients, .sums: "-\(study.unit.program)"
    }
  }

  // MARK: Keys

  private func newKey(_ step: String, _ programs: String...) -> Key {
    var key = Key()
    key.add("step", step)
    for program in programs { key.add(program, "\(packageVersion) \(findings.programs[program]?.hash ?? "")") }
    return key
  }

  private func tokensKey(_ shard: (skip: Int, count: Int)) -> Key {
    var key = newKey("tokens", "wt-tokenize")
    key.add(flags: ["--num-samples", "\(shard.count)", "--skip", "\(shard.skip)", "--batch-size", "\(study.batchSize)"])
    key.add(flags: study.tokenFlags)
    key.add("tokenizer", findings.tokenizer)
    for (number, text) in findings.texts.enumerated() { key.add("text \(number)", text.hash) }
    return key
  }

  /// The layer is not part of it where each has a stream of its own: one pass may write several, by one pattern.
  private func activationsKey(after tokens: Plan.Step, _ layers: [Int]) -> Key {
    var key = newKey("activations", "qwen-capture")
    key.add("tokens", tokens.key.hash)
    if study.isByLayer { key.add("--loss", "given") }
    if layers.count > 1 { key.add("layers", "\(LayerList(layers))") }
    addModel(to: &key)
    return key
  }

  private func gradientsKey(after activations: Plan.Step, _ group: [Int]) -> Key {
    var key = newKey("gradients", study.unit.program)
    key.add("activations", activations.key.hash)
    key.add("layers", "\(LayerList(group))")
    key.add(flags: study.featureFlags)
    if study.usesErrorTerm { key.add("--use-error-term", "given") }
    key.add("--arithmetic", study.arithmetic)
    addModel(to: &key)
    if study.unit == .feature {
      for layer in group { key.add("autoencoder", (findings.autoencoders[layer] ?? []).map { $0.of(layer) }) }
    }
    return key
  }

  private func addModel(to key: inout Key) {
    key.add("model", findings.model)
    key.add("device", findings.device)
    key.add("--precision", study.precision)
  }

  private func addAverages(to key: inout Key) {
    key.add(flags: study.averageFlags)
    if study.unit == .feature {
      key.add("device", findings.device)
      key.add("--precision", study.precision)
    }
    if !study.keepsGradients { key.add("grad-aggregate", findings.programs["grad-aggregate"]?.hash ?? "") }
  }
}

extension FoundFile {
  fileprivate func of(_ layer: Int) -> FoundFile {
    var file = self
    file.name = "\(layer)/\(name)"
    return file
  }
}
