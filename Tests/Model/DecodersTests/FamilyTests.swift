import CUDAOperations
import Decoders
import Foundation
import SystemIO
import TensorOperations
import TensorStream
import TestSupport
import Testing

/// A small model of every family, at every place of every layer, against transformers and autograd in float64. Samples
/// are longer than the windows, and than the lengths that scaled angles were trained on.
@Suite struct FamilyTests {
  private func places(_ golden: GoldenFile, _ model: DecoderModel) -> [Place] {
    PlaceList(sites: model.description.sites, layers: 0..<golden.layerCount).places
  }

  /// The parts of what the stream is in front of a place, and what they add up to.
  @Test(arguments: GoldenFile.families) func activations(name: String) throws {
    let golden = try GoldenFile(name)
    let model = try loadModel(golden.model)
    let places = places(golden, model)
    var (found, sums): ([Place: [Float]], [Place: [Float]]) = ([:], [:])
    for tokens in try golden.batches("plain") {
      try model.capture(ModelInput(tokens, model.description), at: Set(places)) { place, activation, rest in
        found[place, default: []] += activation.values
        #expect((rest == nil) == place.site.isStream)
        guard let rest, place.site != .attnZ else { return }
        sums[place, default: []] += zip(activation.values, rest.values).map { $0 + $1 }
      }
    }
    for place in places {
      let values = try #require(found[place])
      let rows = try golden.pick("plain", of: values, width: model.description.width(of: place.site))
      let error = relativeL2(rows, try golden.floats("plain.act.\(place)"))
      try #require(error < GoldenTests.forwardTolerance, "the first bad activation is \(place)")
    }
    for layer in 0..<golden.layerCount {
      let isParallel = model.description.wiring == .parallel
      let afterAttention = found[Place(isParallel ? .residPost : .residMid, layer)]!
      #expect(relativeL2(sums[Place(.attnOut, layer)]!, afterAttention) < 1e-6)
      #expect(relativeL2(sums[Place(.mlpOut, layer)]!, found[Place(.residPost, layer)]!) < 1e-6)
    }
    #expect(throws: GoldenFile.Unreadable.self) { try golden.floats("plain.act.resid_post.\(golden.layerCount)") }
  }

  /// From every place to every one behind it.
  @Test(arguments: GoldenFile.families) func gradients(name: String) throws {
    let golden = try GoldenFile(name)
    let model = try loadModel(golden.model)
    for start in places(golden, model) { try check(golden, model, from: start) }
  }

  /// In Double, the roundings of the goldens and of what is gone on from are all that is left.
  @Test(arguments: GoldenFile.families) func inDouble(name: String) throws {
    let golden = try GoldenFile(name)
    let fewRows = try loadModel(golden.model, arithmetic: .float32, operations: DoubleOperations(threads: 2))
    let whole = try loadModel(
      golden.model, arithmetic: .float64, operations: DoubleOperations.forWholePasses(threads: 2))
    for model in [fewRows, whole] {
      try check(golden, model, from: Place(.residPre, 0), within: 4e-6)
      try check(golden, model, from: Place(.attnOut, 1), within: 4e-6)
    }
  }

  @Test(.enabled(if: StandInGPU.folder != nil, "\(StandInGPU.absence)"), arguments: GoldenFile.families)
  func onAGPU(name: String) throws {
    let golden = try GoldenFile(name)
    let checkpoint = try Checkpoint(golden.model)
    let model = try DecoderModel(
      checkpoint, layers: 0..<golden.layerCount, includingHead: true,
      operations: try CUDAOperations(folder: StandInGPU.folder))
    try check(golden, model, from: Place(.residPre, 0))
    try check(golden, model, from: Place(.attnOut, 1))
  }

  private func check(
    _ golden: GoldenFile, _ model: DecoderModel, from start: Place,
    within tolerance: Double = GoldenTests.gradientTolerance
  ) throws {
    let places = places(golden, model).filter { $0 >= start }
    var (found, losses): ([Place: [Float]], [Double]) = ([:], [])
    for tokens in try golden.batches("plain") {
      losses += try captured(model, ModelInput(tokens, model.description), at: start).gradients(places) {
        found[$0, default: []] += $1
      }
    }
    for (loss, expected) in zip(losses, try golden.doubles("plain.loss")) {
      #expect(
        abs(loss - expected) <= GoldenTests.lossTolerance * expected, "\(loss), expected \(expected), from \(start)")
    }
    for place in places.reversed() {
      let values = try #require(found[place])
      let rows = try golden.pick("plain", of: values, width: model.description.width(of: place.site))
      let error = relativeL2(rows, try golden.floats("plain.grad.\(place)"))
      try #require(
        error < tolerance, "the first bad gradient from \(start) is \(place)'s: \(error)")
    }
  }

  @Test func aParallelModelHasNothingBetweenAttentionAndMLP() throws {
    let description = try Checkpoint("\(GoldenFile.folder)/families/gpt_neox").description
    #expect(description.sites == [.residPre, .attnZ, .attnOut, .mlpOut, .residPost])
    let failure = #expect(throws: Failure.self) { try description.check([.mlpOut, .residMid]) }
    #expect(failure?.kind == .usage && failure?.description.contains("resid_mid") == true)
    try description.check(description.sites)
    try Checkpoint("\(GoldenFile.folder)/families/gpt_neox-sequential").description.check(Site.allCases)
  }

  /// What the layer before left is all that a place needs of it.
  @Test func layersThatAreNeeded() throws {
    let parallel = try Checkpoint("\(GoldenFile.folder)/families/gpt_neox").description
    let sequential = try Checkpoint("\(GoldenFile.folder)/families/gpt_neox-sequential").description
    for (site, own) in [(Site.residPre, 0), (.attnZ, 0), (.attnOut, 1), (.mlpOut, 1), (.residPost, 1)] {
      #expect(DecoderModel.layers(from: Place(site, 0), of: parallel) == own..<2)
    }
    for (site, own) in [(Site.residPre, 0), (.attnZ, 0), (.attnOut, 0), (.residMid, 0), (.mlpOut, 1), (.residPost, 1)] {
      #expect(DecoderModel.layers(from: Place(site, 0), of: sequential) == own..<2)
    }
  }

  @Test func moreTokensThanLearnedPositions() throws {
    let description = try Checkpoint("\(GoldenFile.folder)/families/gpt2").description
    func tokens(_ lengths: [Int32]) -> TokenBatch {
      TokenBatch(
        inputIDs: Array(repeating: 3, count: Int(lengths.reduce(0, +))),
        cuSeqlens: lengths.reduce(into: [0]) { $0.append($0.last! + $1) },
        sampleIndex: lengths.indices.map { Int64($0) })
    }
    try description.check(tokens([40, 1]))
    expectRefusal(.malformed, "sample 1", "at most 40 tokens", "found 41") { try description.check(tokens([40, 41])) }
  }
}

/// Files of the same weights as others have them.
@Suite struct FamilyLayoutTests {
  private func logits(_ folder: ModelFolder) throws -> [Float] {
    let model = try folder.load()
    return try GoldenFile(folder.golden).batches("plain").flatMap {
      try model.logits(ModelInput($0, model.description))
    }
  }

  private func renamed(_ golden: String, _ rule: (String) -> String) throws -> ModelFolder {
    let folder = try ModelFolder(golden)
    folder.tensors = Dictionary(uniqueKeysWithValues: folder.tensors.map { (rule($0.key), $0.value) })
    return folder
  }

  @Test(arguments: ["families/gpt2", "families/gpt_neox", "families/gemma3"])
  func withoutThePrefix(golden: String) throws {
    let prefix = ["families/gpt2": "transformer.", "families/gpt_neox": "gpt_neox."][golden] ?? "model."
    let plain = try ModelFolder(golden)
    try plain.write()
    let folder = try renamed(golden) { $0.hasPrefix(prefix) ? String($0.dropFirst(prefix.count)) : $0 }
    try folder.write()
    #expect(try logits(folder) == logits(plain))
    #expect(try folder.weights() == plain.weights())
    #expect(try Checkpoint(folder.path).warnings.isEmpty)
  }

  /// The masks that transformers 4 saved, and the head's older name.
  @Test func buffersAndTheOlderHead() throws {
    let plain = try ModelFolder("families/gpt_neox")
    try plain.write()
    let folder = try renamed("families/gpt_neox") { $0 == "lm_head.weight" ? "embed_out.weight" : $0 }
    for name in ["attention.bias", "attention.masked_bias", "attention.rotary_emb.inv_freq"] {
      folder.tensors["gpt_neox.layers.1.\(name)"] = .init(type: .f32, shape: [1], bytes: [0, 0, 0, 0])
    }
    try folder.write()
    #expect(try logits(folder) == logits(plain))
    #expect(try Checkpoint(folder.path).warnings.isEmpty)
    folder.tensors["gpt_neox.layers.2.mlp.dense_h_to_4h.bias"] = .init(type: .f32, shape: [1], bytes: [0, 0, 0, 0])
    try folder.write()
    #expect(try Checkpoint(folder.path).warnings.contains { $0.contains("has 3 layers") })

    let masked = try ModelFolder("families/gpt2")
    masked.tensors["h.1.attn.bias"] = .init(type: .f32, shape: [1], bytes: [0, 0, 0, 0])
    try masked.write()
    #expect(try Checkpoint(masked.path).warnings.isEmpty)
  }

  /// The text half of a model that reads images, under the names of its first files and of later ones.
  @Test(arguments: ["language_model.model.", "model.language_model.", "language_model."])
  func theTextHalfOfAModelThatReadsImages(prefix: String) throws {
    let text = try ModelFolder("families/gemma3")
    try text.write()
    let folder = try renamed("families/gemma3") {
      $0.hasPrefix("model.")
        ? prefix + $0.dropFirst(6) : (prefix == "language_model.model." ? "language_model." : "") + $0
    }
    for name in ["vision_tower.vision_model.embeddings.patch_embedding.bias", "multi_modal_projector.weight"] {
      folder.tensors[name] = .init(type: .f32, shape: [1], bytes: [0, 0, 0, 0])
    }
    let configuration = try String(contentsOfFile: text.temporary.file("config.json"), encoding: .utf8)
    try folder.write(
      #"{"model_type": "gemma3", "vision_config": {"hidden_size": 8}, "text_config": \#(configuration)}"#,
      to: "config.json")
    try folder.write()
    #expect(try logits(folder) == logits(text))
    #expect(try Checkpoint(folder.path).warnings.isEmpty)
  }
}
