import RunEngine
import Testing

/// What a step's key has in it: everything that determines the result, and nothing else.
struct KeyTests {
  /// The labels of the steps, without their layers, whose keys a change alters.
  private func changed(
    _ unit: Study.Unit = .feature, _ study: (inout Study) -> Void = { _ in },
    findings: (inout Findings) -> Void = { _ in }
  ) -> Set<Plan.Stage> {
    var (other, found) = (fakeStudy(unit), fakeFindings())
    study(&other)
    findings(&found)
    let before = Plan(fakeStudy(unit), fakeFindings(), work: "work").steps
    let after = Plan(other, found, work: "elsewhere").steps
    let same = Set(before.map(\.key))
    return Set(after.filter { !same.contains($0.key) }.map(\.stage))
  }

  private static let fromSums: Set<Plan.Stage> = [.sums, .results]
  private static let fromGradients = fromSums.union([.gradients])
  private static let fromActivations = fromGradients.union([.activations])
  private static let all = Set(Plan.Stage.allCases)

  @Test func whatChangesNoNumberIsNotInIt() {
    #expect(changed() == [])
    #expect(
      changed(
        .feature,
        {
          $0.model = "/elsewhere/M"; $0.tokenizer = "/elsewhere/M"
        }) == [])
    #expect(changed(.feature, { $0.texts = ["/elsewhere/text.raw"] }) == [])
    #expect(changed(.feature, { $0.autoencoders = "elsewhere/{layer}" }) == [])
    #expect(
      changed(
        .feature,
        {
          $0.featureWaivers = ["--ignore-sae-place"]; $0.allowsNonfinite = true
        }) == [])
    #expect(changed(.feature, { $0.device = "auto" }) == [])
    // Which other layers there are is no matter of a layer, but of the results.
    #expect(changed(.feature, { $0.layers = [2] }) == [.results])
  }

  @Test func flagsAreInTheKeysOfWhatTheyChange() {
    #expect(changed(.feature, { $0.averageFlags = ["--mode", "both"] }) == Self.fromSums)
    #expect(changed(.feature, { $0.featureFlags = ["--stride", "2"] }) == Self.fromGradients)
    #expect(changed(.feature, { $0.usesErrorTerm = true }) == Self.fromActivations)
    #expect(changed(.feature, { $0.precision = "bf16" }) == Self.fromActivations)
    #expect(changed(.feature, { $0.batchSize = 2 }) == Self.all)
    #expect(changed(.feature, { $0.tokenFlags += ["--padding", "max-length"] }) == Self.all)
    #expect(changed(.feature, { $0.skip = 4 }) == Self.all)
    #expect(changed(.feature, { $0.pictureFlags = ["--format", "svg"] }) == [.results])
    #expect(changed(.feature, { $0.keepsGradients = false }) == Self.fromSums)
  }

  /// Contents: a checkpoint whose index names files of any name, settings wherever they lie.
  @Test func contentsAreInTheKeysOfWhatReadsThem() {
    let other = { (file: inout FoundFile) in file.hash = fakeFile("other").hash }
    #expect(changed(findings: { other(&$0.texts[0]) }) == Self.all)
    #expect(changed(findings: { other(&$0.tokenizer[0]) }) == Self.all)
    #expect(changed(findings: { other(&$0.model[1]) }) == Self.fromActivations)
    #expect(changed(findings: { $0.model.append(fakeFile("weights-2.bin")) }) == Self.fromActivations)
    #expect(changed(findings: { $0.device = "cuda:0, H100" }) == Self.fromActivations)
    #expect(changed(findings: { other(&$0.autoencoders[3]![0]) }) == Self.fromGradients)
    #expect(changed(findings: { other(&$0.autoencoders[3]![1]) }) == Self.fromGradients)
    #expect(changed(findings: { $0.autoencoders[3]!.removeLast() }) == Self.fromGradients)
    for (program, stages) in [
      ("wt-tokenize", Self.all), ("qwen-capture", Self.fromActivations), ("sae-grad", Self.fromGradients),
      ("grad-aggregate", Self.fromSums), ("grad-plot", [.results]), ("act-grad", []),
    ] {
      #expect(changed(findings: { other(&$0.programs[program]!) }) == stages, "\(program)")
    }
    #expect(changed(.activation, findings: { other(&$0.programs["act-grad"]!) }) == Self.fromGradients)
  }

  @Test func aLayersAutoencoderIsOfThatLayerAlone() {
    var found = fakeFindings()
    found.autoencoders[3]![0].hash = fakeFile("other").hash
    let before = Plan(fakeStudy(.feature), fakeFindings(), work: "w").steps(of: .gradients)
    let after = Plan(fakeStudy(.feature), found, work: "w").steps(of: .gradients)
    #expect(zip(before, after).map { $0.key == $1.key } == [true, true, true, false])
  }

  @Test func differencesAreNamed() {
    var (one, two) = (Key(), Key())
    one.add(flags: ["--stride", "4", "--use-error-term"])
    one.add("model", [fakeFile("a b.bin"), fakeFile("same")])
    two.add(flags: ["--stride", "2"])
    two.add("model", [fakeFile("a b.bin", content: "x"), fakeFile("same")])
    #expect(one.differences(from: one) == [])
    let words = two.differences(from: one)
    #expect(words.count == 3, "\(words)")
    #expect(words.contains("--stride was 4, is 2"))
    #expect(words.contains("--use-error-term was given, is not there"))
    #expect(words.contains { $0.hasPrefix("model 'a b.bin' was 61206") && $0.hasSuffix("…") })
  }

  /// No value can pass for another name and value.
  @Test func valuesOfSeveralLinesAreOne() {
    var (one, two) = (Key(), Key())
    one.add("a", "b\nc d")
    two.add("a", "b")
    two.add("c", "d")
    #expect(one.text.split(separator: "\n").count == 1 && one.hash != two.hash)
    var three = Key()
    three.add("a", "b\\nc d")
    #expect(one.hash != three.hash)
  }
}
